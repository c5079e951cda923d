"""`limrank-synth distil`: records from a corpus' own words, labelled by a bi-encoder's similarities."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import CliPositionalArg

from contract.records import join_licences
from synth.methods.corpus.inputs import corpus_documents
from synth.settings import Command
from synth.sources.labels import Labels


class DistilSettings(Command):
    """Make queries from a corpus' own words and let a bi-encoder decide which passages are relevant."""

    documents: CliPositionalArg[Path] = Field(description="JSONL corpus as in BEIR, or a whole BEIR folder")
    out: CliPositionalArg[Path] = Field(description="file of records to write")
    bi_encoder: str = Field(
        min_length=1, description="sentence-transformers model id or folder whose similarities are the verdicts"
    )
    bi_encoder_licence: str = Field(min_length=1, description="licence of that model (SPDX), carried by every record")
    source: str = Field(min_length=1, description="name of the corpus in every record")
    licence: str = Field(min_length=1, description="licence of the corpus (SPDX), carried by every record")
    domain: str = Field(default="general", min_length=1, description="domain of every record")
    split: str = Field(
        default="train", description="split of a BEIR folder; documents that only others judge are left out"
    )
    excluded: Path | None = Field(default=None, description="file of ids of documents not to use, one a line")
    ray: str | None = Field(
        default=None, description="address of a Ray cluster, such as auto or local, whose workers encode the passages"
    )
    passages: int = Field(default=12_000, ge=1, description="passages to index, drawn of all")
    queries: int = Field(default=6_000, ge=1, description="queries to make; each gives about six records")


def run(settings: DistilSettings) -> str:
    """Run the command and return a summary."""
    from synth.methods.distil.distilling import distil  # sentence-transformers takes seconds to import

    licence = join_licences([settings.licence, settings.bi_encoder_licence])
    report = distil(
        corpus_documents(settings.documents, split=settings.split, excluded=settings.excluded),
        settings.out,
        Labels(source=settings.source, licence=licence, domain=settings.domain),
        bi_encoder=settings.bi_encoder,
        ray=settings.ray,
        passages=settings.passages,
        queries=settings.queries,
    )
    missed = (
        f" {report.without_passage} of {report.documents} documents gave no passage: they hold less than 20 words in "
        "sentences of up to 90."
        if report.without_passage
        else ""
    )
    return (
        f"{report.records} records written to {settings.out}, {report.relevant} of them relevant, for {report.queries} "
        f"queries among {report.passages} passages.{missed}"
    )
