"""The settings of one endpoint, the same for every role."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Structured = Literal["auto", "json_schema", "json_object", "prompt"]
"""How an endpoint is made to return JSON. `auto` starts with `json_schema` and falls back when the endpoint refuses
it."""

_AHEAD = 8  # questions queued in each client process


class Endpoint(BaseModel):
    """One OpenAI-compatible endpoint and the model to call there."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    base_url: str = Field(default="https://api.openai.com/v1", description="address up to and with /v1")
    model: str = Field(default="", description="model name as the endpoint knows it")
    key_variable: str = Field(
        default="OPENAI_API_KEY", description="name of the environment variable that holds the key; empty: no key"
    )
    structured: Structured = Field(default="auto", description="how the endpoint is made to return JSON")
    temperature: float | None = Field(
        default=None, ge=0, le=2, description="sampling temperature; unset: the endpoint's own"
    )
    max_tokens: int = Field(default=2048, ge=16, description="longest reply in tokens, reasoning included")
    max_tokens_name: str = Field(
        default="max_tokens",
        pattern="^(max_(completion_)?tokens)?$",
        description="name of that limit in requests; empty: the limit is not sent",
    )
    extra_body: dict[str, Any] = Field(default_factory=dict, description="JSON added to every request's body")
    concurrency: int = Field(default=16, ge=1, le=4096, description="requests in flight at a time")
    processes: int = Field(
        default=1, ge=1, le=64, description="client processes that share the requests; increase if one core is too slow"
    )
    ray: str = Field(
        default="", description="address of a Ray cluster, such as auto or local: its nodes ask, each a share"
    )
    requests_per_minute: int | None = Field(default=None, ge=1, description="most requests in any 60 seconds")
    tokens_per_minute: int | None = Field(default=None, ge=1, description="most prompt and reply tokens in 60 seconds")
    timeout: float = Field(default=120.0, gt=0, description="seconds to wait for a reply")
    retries: int = Field(
        default=5, ge=0, le=50, description="retries of a request after 429, 5xx, a timeout or a broken connection"
    )
    replies: int = Field(
        default=2, ge=1, le=20, description="replies to pay for before an input without a usable one is given up"
    )
    price_prompt: float = Field(default=0.0, ge=0, description="price of a million prompt tokens")
    price_completion: float = Field(default=0.0, ge=0, description="price of a million reply tokens")

    @model_validator(mode="after")
    def _limited_where_it_costs(self) -> Self:
        if not self.max_tokens_name and self.priced:
            raise ValueError("prices need a max_tokens_name: without a limit a reply may cost any sum")
        return self

    @model_validator(mode="after")
    def _asked_from_one_kind_of_place(self) -> Self:
        if self.ray and self.processes > 1:
            raise ValueError("ray and processes contradict each other: on a cluster every node has one client process")
        return self

    @property
    def priced(self) -> bool:
        return self.price_prompt > 0 or self.price_completion > 0

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """The cost in the currency of the prices."""
        return (prompt_tokens * self.price_prompt + completion_tokens * self.price_completion) / 1e6

    def concurrency_shares(self) -> list[int]:
        """The concurrency of each client process: as even as possible, never 0."""
        processes = min(self.processes, self.concurrency)
        each, left = divmod(self.concurrency, processes)
        return [each + (number < left) for number in range(processes)]

    @property
    def questions_at_once(self) -> int:
        """How many questions may be pending at once, including those queued in client processes."""
        return self.concurrency + (len(self.concurrency_shares()) * _AHEAD if self.processes > 1 else 0)

    def sampling(self) -> dict[str, Any]:
        """The settings that shape a reply, apart from the messages; part of the key of every call."""
        return {
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "extra_body": self.extra_body,
        }
