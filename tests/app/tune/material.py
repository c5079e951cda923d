"""Small documents of our own in every format, a tiny cross-encoder to begin from, and a light bi-encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense
from torch.nn import Identity
from transformers import BertConfig, BertForSequenceClassification, BertModel

from tests.tokenizers import copy_minilm_tokenizer, minilm_folder

THINGS = ("rose", "fern", "pond", "hedge", "moss", "lawn", "apple tree", "vine", "compost heap", "greenhouse")
WORK = ("Watering", "Pruning", "Planting", "Feeding")


def write_documents(folder: Path) -> Path:
    """A document for each of THINGS, with a section for each of WORK, as Markdown, HTML and two kinds of text."""
    folder.mkdir(parents=True, exist_ok=True)
    writers = (("md", _markdown), ("html", _html), ("rst", _rst), ("txt", _rst))
    for number, thing in enumerate(THINGS):
        suffix, write = writers[number % len(writers)]
        sections = [(f"{work} the {thing}", _text(thing, work, number)) for work in WORK]
        name = folder / f"{thing.replace(' ', '-')}.{suffix}"
        name.write_text(write(f"All about the {thing}", sections), encoding="utf-8")
    return folder


def _text(thing: str, work: str, number: int) -> str:
    return (
        f"In month {number + 1} the {thing} wants care, and {work.lower()} comes first of all the work there is. "
        f"Gardeners who begin {work.lower()} too late find that the {thing} suffers from frost by autumn. "
        f"A {thing} of {number + 3} years needs {number + 2} hours of {work.lower()} each week, in the shade of a wall."
    )


def _markdown(title: str, sections: list[tuple[str, str]]) -> str:
    return f"# {title}\n\n" + "\n\n".join(f"## {heading}\n\n{text}" for heading, text in sections) + "\n"


def _html(title: str, sections: list[tuple[str, str]]) -> str:
    body = "".join(f"<h2>{heading}</h2><p>{text}</p>" for heading, text in sections)
    head = f"<html><head><title>{title}</title></head>"
    return f"{head}<body><nav>Home</nav><main><h1>{title}</h1>{body}</main></body></html>"


def _rst(title: str, sections: list[tuple[str, str]]) -> str:
    parts = [f"{title}\n{'=' * len(title)}\n"]
    parts += [f"{heading}\n{'-' * len(heading)}\n\n{text}\n" for heading, text in sections]
    return "\n".join(parts)


def pdf_bytes(text: str) -> bytes:
    """A PDF of one page that shows `text`; without any, one whose page is a drawn rectangle, as a scan is a picture."""
    shown = f"BT /F1 12 Tf 40 700 Td ({text}) Tj ET" if text else "0 0 200 200 re f"
    objects = (
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        "/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        f"<< /Length {len(shown)} >>\nstream\n{shown}\nendstream",
    )
    out, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    end = f"xref\n0 5\n0000000000 65535 f \n{table}trailer << /Size 5 /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    return out + end.encode()


def write_cross_encoder(folder: Path) -> Path:
    """Two thin layers with one output."""
    torch.manual_seed(2)
    config = BertConfig(
        vocab_size=30522,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=512,
        initializer_range=0.2,
    )
    config.num_labels = 1
    model: Any = BertForSequenceClassification(config)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    copy_minilm_tokenizer(folder)
    return folder


def write_bi_encoder(folder: Path) -> Path:
    """The first of the packaged bi-encoder's six layers. Its vectors of the documents have a mean of zero: as the layer
    gives them they are all alike."""
    layer = folder.with_name("layer")
    model: Any = BertModel.from_pretrained(minilm_folder(), num_hidden_layers=1)
    model.save_pretrained(layer)
    copy_minilm_tokenizer(layer)
    whole = SentenceTransformer(str(layer), device="cpu")
    texts = [_text(thing, work, number) for number, thing in enumerate(THINGS) for work in WORK]
    mean = whole.encode(texts, convert_to_tensor=True).mean(0)
    size = len(mean)
    whole.append(Dense(size, size, activation_function=Identity(), init_weight=torch.eye(size), init_bias=-mean))
    whole.save(str(folder))
    return folder
