"""The question types of MedQuAD: how a trace names them, and the words that show that a passage treats one.

`hint` is broad: a passage without a match says nothing about the aspect. `sign` is narrow: a sentence that matches it
does. Both are matched against a text without the name of the focus.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Aspect:
    """One question type. `topic` completes "The query asks about ..." and "The passage is about ..."; `{x}` stands for
    the focus."""

    name: str
    topic: str
    hint: re.Pattern[str]
    sign: re.Pattern[str]


def _aspect(name: str, *, topic: str, hint: str, sign: str) -> Aspect:
    return Aspect(name, topic, re.compile(hint, re.I), re.compile(sign, re.I))


_KIND = (
    r"disorders?|diseases?|conditions?|syndromes?|cancers?|tumou?rs?|infections?|illness(?:es)?|injur(?:y|ies)|defects?|"
    r"types?|forms?|problems?|malformations?|abnormalit(?:y|ies)|anomal(?:y|ies)|deficienc(?:y|ies)|cells?|groups?|"
    r"inflammation|bacteri(?:a|um)|virus(?:es)?|parasites?|process|procedures?|surgery|medicines?|drugs?|tests?|"
    r"devices?|organs?|glands?|damage|growths?|loss|dystroph(?:y|ies)|dysplasias?"
)

ASPECTS = {
    aspect.name: aspect
    for aspect in (
        _aspect(
            "information",
            topic="the nature of {x}",
            hint=rf"\b(?:is|are|refers? to|means)\b.{{0,150}}\b(?:{_KIND})\b",
            sign=rf"^\W*(?:\([^)]*\)\s*)?(?:is|are) (?:an?|the|one of)\b.{{0,80}}\b(?:{_KIND})\b",
        ),
        _aspect(
            "symptoms",
            topic="the symptoms of {x}",
            hint=r"\b(?:symptom|signs?\b|feature|characteri[sz]ed|manifest|presents?\b|pain|weakness|fever|seizure|"
            r"complain|rash|fatigue|experienc|unable to|difficult|problem|abnormal|intellectual|delay)",
            sign=r"\b(?:symptoms?|signs(?: and symptoms)?|features)\b.{0,60}\b(?:include|are|such as)\b",
        ),
        _aspect(
            "treatment",
            topic="the treatment of {x}",
            hint=r"\b(?:treat|therap|manage|medicat|medicine|drugs?\b|surg|transplant|resources address|relie[fv]|"
            r"antibiotic|cure|care\b|operation|vaccin|transfus|support|replac|diet|supplement|hospital|avoid|dialysis|"
            r"chemo|radiation|inject|removed?\b|steroid)",
            sign=r"\b(?:treat(?:ed|ment|ments|ing)|therap(?:y|ies)|surgery|transplant|antibiotics)\b",
        ),
        _aspect(
            "inheritance",
            topic="the inheritance of {x}",
            hint=r"\b(?:inherit|autosomal|x-linked|recessive|dominant|hereditary|famil(?:y|ies|ial)\b|passed|carriers?\b|"
            r"de novo|new mutation|sporadic|germline|offspring|siblings|parents?\b|genetic)",
            sign=r"\b(?:inherited|inheritance|autosomal|x-linked|hereditary|runs? in families)\b",
        ),
        _aspect(
            "frequency",
            topic="the frequency of {x}",
            hint=r"\b(?:\d[\d,.]* (?:in|per|out of|percent|million|people|famil|cases|individuals|affected|men|women|"
            r"adults|children|americans)|in \d[\d,]+|prevalence|incidence|rare\b|rarely|common|frequen|how many|"
            r"cases\b|million|estimated|reported|number of|individuals (?:have|worldwide)|affects?\b|occurs? in|"
            r"described in|unusual|few|most|many)",
            sign=r"\b(?:prevalence|incidence|1 in \d|in \d{1,3},\d{3}|per (?:100,000|million)|cases have been|"
            r"affects? (?:about|an estimated|approximately|more than)|million (?:people|americans)|"
            r"rare,? (?:\w+ )?(?:disease|disorder|condition|form|type))",
        ),
        _aspect(
            "genetic changes",
            topic="the genetic changes related to {x}",
            hint=r"\b(?:mutat|genes?\b|chromosom|deletion|duplication|variant|genetic|DNA|genom|alter|trisomy)",
            sign=r"\b(?:mutations?|chromosom\w+|[A-Z0-9]{3,} genes?|genes?)\b",
        ),
        _aspect(
            "causes",
            topic="the causes of {x}",
            hint=r"\b(?:caus|due to|result(?:s|ed|ing)? (?:from|in|when)|mutat|trigger|leads? to|because|occurs when|"
            r"develops when|reason|responsible|contribut|spread|linked|factor|infect|genes?\b|genetic|inherit|born)",
            sign=r"\b(?:caused by|causes? of|due to|results? from)\b",
        ),
        _aspect(
            "exams and tests",
            topic="the diagnosis of {x}",
            hint=r"\b(?:diagnos|test|exam|biops|screen|scan|x[- ]?ray|MRI|imaging|ultrasound|detect|evaluat|suspect|"
            r"identif|confirm)",
            sign=r"\b(?:(?:is|are|be|been|usually|often) diagnosed|to diagnose|diagnosis (?:is|of|can|may|requires)|"
            r"(?:tests?|exams?|biopsy|x[- ]rays?|MRI) (?:to|for|that|can|may|is|are|shows?|used))\b",
        ),
        _aspect(
            "research",
            topic="research on {x}",
            hint=r"\b(?:research|trials?\b|stud(?:y|ies)|NIH\b|scientist|investigat|NINDS|experiment)",
            sign=r"\b(?:research|clinical trials?|studies)\b",
        ),
        _aspect(
            "outlook",
            topic="the outlook for {x}",
            hint=r"\b(?:prognos|outlook|surviv|life|recover|progress|fatal|death|dea[dt]h?|die[sd]?\b|mortality|course|"
            r"long-term|improve|worse|remission|live[sd]?\b|permanent|resolve|outcome|respond|cure|revers|chance|heal|"
            r"paralysis|disabilit|lead to|over time|residual|favorable|resistant|slowly)",
            sign=r"\b(?:prognosis|outlook|survival|life expectancy|life span|recovery|fatal)\b",
        ),
        _aspect(
            "susceptibility",
            topic="who is at risk for {x}",
            hint=r"\b(?:risk|likely|susceptib|common|affects? |anyone|who (?:gets?|develops?)|chance|ages?\b|prone|"
            r"population|endemic|distribut|occurs? in|found in|exposure|exposed|people (?:who|with)|travel|more often)",
            sign=r"\b(?:risk factors?|at (?:higher |increased |greater )?risk (?:of|for)|more likely to (?:get|have|"
            r"develop)|more common in)\b",
        ),
        _aspect(
            "prevention",
            topic="the prevention of {x}",
            hint=r"\b(?:prevent|avoid|reduc|lower|protect|vaccin|prophyla|delay|slow|keep|stop|precaution|safe)",
            sign=r"\b(?:prevent(?:s|ed|ing|ion)?|avoid(?:ing)?|vaccines?)\b",
        ),
        _aspect(
            "considerations",
            topic="what to do about {x}",
            hint=r"\w",
            sign=r"(?!)",  # no words are typical of advice
        ),
        _aspect(
            "stages",
            topic="the stages of {x}",
            hint=r"\b(?:stage|staging|grade|phase|spread|recurrent)",
            sign=r"\b(?:stages?|staging)\b",
        ),
        _aspect(
            "complications",
            topic="the complications of {x}",
            hint=r"\b(?:complicat|leads? to|risk|problem|damage|fail|infect|result|caus|develop|death|die\b|untreated|"
            r"clot)",
            sign=r"\b(?:complications?|can lead to|may lead to)\b",
        ),
    )
}
