"""What the caller's own search says of the documents: three fields of every body."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from contract.adaptive.fusion import of_rank
from service.errors import BadRequest
from service.ranking import FirstStage
from service.wire.fields import PositiveCount, WireBody

NUMBER_LISTS = ("first_stage_scores", "first_stage_ranks")

Number = Annotated[float, Field(allow_inf_nan=False)]


class FirstStageBody(WireBody):
    """The fields of a body that are fused with the model's scores."""

    first_stage_scores: Annotated[list[Number], Field(fail_fast=True)] | None = Field(
        None, description="The caller's own score of each document, the higher the better, on any scale."
    )
    first_stage_ranks: Annotated[list[PositiveCount], Field(fail_fast=True)] | None = Field(
        None, description="In place of scores: the rank of each document, 1 for the best."
    )
    first_stage_weight: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="Share of the caller's scores or ranks in the result, 0 to 1. Default: the server's."
    )

    def first_stage(self, documents: int) -> FirstStage | None:
        """Raises BadRequest for both lists, for one that is not of so many numbers, and for a weight of nothing."""
        if self.first_stage_scores is not None and self.first_stage_ranks is not None:
            raise BadRequest(
                "first_stage_scores and first_stage_ranks were both sent; send only one of them.",
                field="first_stage_ranks",
            )
        field = "first_stage_ranks" if self.first_stage_scores is None else "first_stage_scores"
        numbers = getattr(self, field)
        if numbers is None:
            if self.first_stage_weight is not None:
                raise BadRequest(
                    "first_stage_weight needs first_stage_scores or first_stage_ranks; send one of them, or leave it "
                    "out.",
                    field="first_stage_weight",
                )
            return None
        if len(numbers) != documents:
            raise BadRequest(
                f"{field} holds {len(numbers)} numbers for {documents} documents; send one for each, in their order.",
                field=field,
            )
        scores = numbers if field == "first_stage_scores" else [of_rank(rank) for rank in numbers]
        return FirstStage(tuple(map(float, scores)), self.first_stage_weight)
