"""The client against a real HTTP endpoint: every kind of answer becomes a reply, a reason or a sentence."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from cli.errors import BadSettings
from llm.base import LLM, EndpointFailed, Finish, Message, NoReply, Question, Reply
from llm.endpoint import Endpoint
from llm.openai import OpenAILLM
from llm.processes import LLMProcesses
from tests.synth.endpoint import Fault, Script, ScriptedEndpoint
from tests.waiting import PATIENCE

QUESTION = Question(
    (Message("system", "Judge."), Message("user", 'Is it "relevant"?')), "Judgement", {"type": "object"}
)
SOON = (("retry-after-ms", "20"),)
KINDS = pytest.mark.parametrize("processes", [1, 2], ids=["in this process", "in processes"])


def ask(url: str, times: int = 1, **knobs: Any) -> list[Reply]:
    """Replies to `times` equal questions put at the same time."""
    given: dict[str, Any] = {"base_url": url, "model": "m", "key_variable": "", "timeout": PATIENCE}
    endpoint = Endpoint(**(given | knobs))

    async def all_of_them() -> list[Reply]:
        llm: LLM = OpenAILLM(endpoint) if endpoint.processes == 1 else LLMProcesses(endpoint)
        try:
            return list(await asyncio.gather(*(llm.ask(QUESTION) for _ in range(times))))
        finally:
            await llm.close()

    return asyncio.run(all_of_them())


def first(fault: Fault, times: int = 1) -> Script:
    """The fault for the first so many requests, good replies after them."""
    return lambda number, _: fault if number <= times else None


@KINDS
def test_a_reply_comes_with_the_endpoint_s_own_usage(processes: int) -> None:
    begun = time.monotonic()
    with ScriptedEndpoint() as endpoint:
        (reply,) = ask(endpoint.url, processes=processes)
        assert endpoint.counts.requests == 1
    assert json.loads(reply.text)["relevant"] in (True, False)
    assert (reply.finish, reply.reasoning) == (Finish.STOP, "")
    assert reply.prompt_tokens == 4
    assert reply.completion_tokens == len(reply.text.split())
    assert 0 < reply.seconds < time.monotonic() - begun


def test_the_body_holds_the_schema_the_sampling_and_what_the_user_adds() -> None:
    with ScriptedEndpoint() as endpoint:
        ask(
            endpoint.url,
            temperature=0.5,
            max_tokens=77,
            max_tokens_name="max_completion_tokens",
            extra_body={"top_k": 3},
        )
        (body,) = endpoint.counts.log
    assert body["response_format"]["type"] == "json_schema"
    assert body["response_format"]["json_schema"] == {"name": "Judgement", "strict": True, "schema": {"type": "object"}}
    assert (body["temperature"], body["max_completion_tokens"], body["top_k"]) == (0.5, 77, 3)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]


def test_the_key_comes_from_the_named_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret-7")
    with ScriptedEndpoint() as endpoint:
        ask(endpoint.url, key_variable="MY_KEY")
        assert "Bearer secret-7" in endpoint.counts.headers[0]
    monkeypatch.delenv("MY_KEY")
    for processes in (1, 2):
        with pytest.raises(BadSettings, match="MY_KEY is not set: it should hold the key for http://127"):
            ask(endpoint.url, key_variable="MY_KEY", processes=processes)


@pytest.mark.parametrize("status", [401, 400, 500])
def test_an_endpoint_that_repeats_the_key_does_not_get_it_shown_or_kept(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "secret-7")
    said = Fault(status, '{"error": {"message": "no: secret-7 is wrong"}}', headers=SOON)
    with (
        ScriptedEndpoint(script=lambda *_: said) as endpoint,
        pytest.raises((EndpointFailed, NoReply), match=r"no: \(the key\) is wrong") as caught,
    ):
        ask(endpoint.url, key_variable="MY_KEY", retries=0)
    assert "secret-7" not in str(caught.value) + getattr(caught.value, "raw", "")


@pytest.mark.parametrize(
    "fault",
    [
        Fault(429, '{"error": {"message": "slow down"}}', headers=SOON),
        Fault(500, "oops", headers=SOON),
        Fault(503, "{}", headers=SOON),
        Fault(cut=True),
    ],
    ids=["429", "500", "503", "a broken connection"],
)
def test_what_passes_is_tried_again(fault: Fault) -> None:
    with ScriptedEndpoint(script=first(fault, 2)) as endpoint:
        (reply,) = ask(endpoint.url, retries=3)
        assert endpoint.counts.requests == 3
    assert reply.finish is Finish.STOP


def test_retry_after_is_obeyed() -> None:
    with ScriptedEndpoint(script=first(Fault(429, "{}", headers=(("retry-after", "1"),)))) as endpoint:
        begun = time.monotonic()
        ask(endpoint.url, retries=1)
    assert time.monotonic() - begun >= 1


@KINDS
def test_what_does_not_pass_is_no_reply_and_its_words_are_kept(processes: int) -> None:
    words = '{"error": {"message": "still too busy"}}'
    with ScriptedEndpoint(script=first(Fault(503, words, headers=SOON), 9)) as endpoint:
        with pytest.raises(NoReply, match="http_503: still too busy") as caught:
            ask(endpoint.url, retries=2, processes=processes)
        assert endpoint.counts.requests == 3
    assert caught.value.raw == words
    assert not caught.value.final


def test_an_endpoint_that_does_not_answer_in_time_is_no_reply() -> None:
    with (
        ScriptedEndpoint(script=first(Fault(hang=True), 9)) as endpoint,
        pytest.raises(NoReply, match="timeout") as caught,
    ):
        ask(endpoint.url, retries=0, timeout=0.3)
    assert not caught.value.final


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(401, '{"error": {"message": "bad key"}}'), r"refused the key in '' \(401\): bad key"),
        (Fault(403, "{}"), r"refused the key in '' \(403\)"),
        (Fault(404, '{"error": {"message": "no such model"}}'), r"has no model 'm' or no chat \(404\): no such model"),
        (Fault(402, "{}"), r"has no credit left \(402\)"),
        (
            Fault(429, '{"error": {"message": "pay", "code": "insufficient_quota"}}', headers=SOON),
            r"has no credit left \(429\): pay",
        ),
    ],
)
def test_an_endpoint_that_can_answer_nothing_is_a_sentence(fault: Fault, said: str) -> None:
    with ScriptedEndpoint(script=first(fault, 9)) as endpoint, pytest.raises(EndpointFailed, match=said):
        ask(endpoint.url, retries=1)


def test_an_endpoint_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(EndpointFailed, match=r"http://127\.0\.0\.1:9/v1 cannot be reached .*; check the address"):
        ask("http://127.0.0.1:9/v1", retries=0)


def test_an_endpoint_without_schemas_is_asked_in_words_and_stays_so() -> None:
    with ScriptedEndpoint(schemas=False) as endpoint:
        ask(endpoint.url)
        assert [body.get("response_format", {}).get("type") for body in endpoint.counts.log] == [
            "json_schema",
            "json_object",
        ]
        assert '{"type": "object"}' in endpoint.counts.log[1]["messages"][-1]["content"]

    with ScriptedEndpoint(script=lambda _, body: Fault(400, "{}") if "response_format" in body else None) as endpoint:

        async def twice() -> None:
            llm = OpenAILLM(Endpoint(base_url=endpoint.url, model="m", key_variable=""))
            for _ in range(2):
                assert (await llm.ask(QUESTION)).finish is Finish.STOP
            await llm.close()

        asyncio.run(twice())
        assert ["response_format" in body for body in endpoint.counts.log] == [True, True, False, False]


def test_a_question_the_endpoint_refuses_in_every_way_is_given_up() -> None:
    fault = Fault(400, '{"error": {"message": "prompt too long"}}')
    with (
        ScriptedEndpoint(script=first(fault, 9)) as endpoint,
        pytest.raises(NoReply, match="prompt too long") as caught,
    ):
        ask(endpoint.url)
    assert caught.value.final
    assert endpoint.counts.requests == 3


def test_a_named_way_of_asking_is_the_only_one_tried() -> None:
    with ScriptedEndpoint(schemas=False) as endpoint, pytest.raises(NoReply, match="is not supported"):
        ask(endpoint.url, structured="json_schema")
    assert endpoint.counts.requests == 1


def test_thoughts_are_kept_apart_from_the_answer() -> None:
    def thinking(_: int, body: dict[str, Any]) -> Fault:
        message = {"role": "assistant", "content": "{}", "reasoning_content": "Let me see."}
        return Fault(body=json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}))

    with ScriptedEndpoint(script=thinking) as endpoint:
        (reply,) = ask(endpoint.url)
    assert (reply.text, reply.reasoning, reply.prompt_tokens) == ("{}", "Let me see.", 0)


@pytest.mark.parametrize(
    ("content", "text", "thought"),
    [
        ("<think>\nHm.\n</think>\n{}", "{}", "Hm."),
        ("Hm.\n</think>\n\n{}", "{}", "Hm."),  # the template has opened the thought
        ("<think></think>{}", "{}", ""),
        ("<think> and no end {}", "<think> and no end {}", ""),
        ('{"passage": "the tag </think> in HTML"}', '{"passage": "the tag </think> in HTML"}', ""),
        ('```json\n{"a": "</think>"}\n```', '```json\n{"a": "</think>"}\n```', ""),
    ],
)
def test_thoughts_within_the_text_are_taken_out_of_it(content: str, text: str, thought: str) -> None:
    with ScriptedEndpoint(script=first(Fault(content=content))) as endpoint:
        (reply,) = ask(endpoint.url)
    assert (reply.text, reply.reasoning) == (text, thought)


@pytest.mark.parametrize(
    ("fault", "finish", "text"),
    [
        (Fault(finish="length", content="{"), Finish.LENGTH, "{"),
        (Fault(finish="content_filter", content=""), Finish.REFUSAL, ""),
        (Fault(refusal="I will not."), Finish.REFUSAL, "I will not."),
        (Fault(body='{"choices": ['), Finish.BROKEN, '{"choices": ['),
        (
            Fault(
                body='{"choices": [{"message": {"content": [{"type": "thinking"}, {"type": "text", "text": "{}"}]}}]}'
            ),
            Finish.STOP,
            "{}",
        ),
        (
            Fault(body='{"choices": [{"message": {"content": 7}}]}'),
            Finish.BROKEN,
            '{"choices": [{"message": {"content": 7}}]}',
        ),
    ],
)
def test_every_other_answer_is_a_reply_that_says_what_it_is(fault: Fault, finish: Finish, text: str) -> None:
    with ScriptedEndpoint(script=first(fault)) as endpoint:
        (reply,) = ask(endpoint.url)
    assert (reply.finish, reply.text) == (finish, text)


def test_an_error_that_comes_as_200_is_no_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret-7")
    fault = Fault(body='{"error": {"message": "provider down for secret-7", "code": 502}}')
    with (
        ScriptedEndpoint(script=first(fault)) as endpoint,
        pytest.raises(NoReply, match=r"error: provider down for \(the key\)") as caught,
    ):
        ask(endpoint.url, key_variable="MY_KEY")
    assert not caught.value.final
    assert "secret-7" not in caught.value.raw


def test_what_was_used_counts_in_a_body_that_cannot_be_read() -> None:
    body = '{"usage": {"prompt_tokens": 7, "completion_tokens": 9}, "choices": [{"message": {"content": 7}}]}'
    with ScriptedEndpoint(script=first(Fault(body=body))) as endpoint:
        (reply,) = ask(endpoint.url)
    assert (reply.finish, reply.prompt_tokens, reply.completion_tokens) == (Finish.BROKEN, 7, 9)


@pytest.mark.parametrize(
    ("fault", "reason", "final"),
    [
        (Fault(403, '{"error": {"message": "flagged"}}'), "http_403: flagged", True),
        (Fault(cut=True), "broken: ", False),
    ],
    ids=["moderation", "a broken connection"],
)
def test_an_endpoint_that_has_answered_is_not_given_up_for_one_question(fault: Fault, reason: str, final: bool) -> None:
    with ScriptedEndpoint(script=lambda number, _: fault if number > 1 else None) as endpoint:

        async def twice() -> None:
            llm = OpenAILLM(Endpoint(base_url=endpoint.url, model="m", key_variable="", retries=0))
            try:
                await llm.ask(QUESTION)
                with pytest.raises(NoReply, match=reason) as caught:
                    await llm.ask(QUESTION)
                assert caught.value.final is final
            finally:
                await llm.close()

        asyncio.run(twice())


@KINDS
def test_requests_per_minute_are_kept_retries_included(processes: int) -> None:
    """1200 a minute are 20 a second: a burst of at most 20, then one every 0.05 s. Counted from before it begins."""
    begun = time.monotonic()
    with ScriptedEndpoint(script=first(Fault(429, "{}", headers=SOON), 4)) as endpoint:
        ask(endpoint.url, times=36, requests_per_minute=1200, processes=processes)
        times = endpoint.counts.times
    assert len(times) == 40
    assert times[-1] - begun >= 1.0


def test_processes_share_a_limit() -> None:
    llm = LLMProcesses(
        Endpoint(
            base_url="http://127.0.0.1:9/v1",
            model="m",
            key_variable="",
            processes=3,
            requests_per_minute=1200,
            tokens_per_minute=900,
        )
    )
    shares = [(client._endpoint.requests_per_minute, client._endpoint.tokens_per_minute) for client in llm._clients]
    assert shares == [(400, 300)] * 3


def test_tokens_per_minute_are_kept() -> None:
    """At 12000 a minute there are 200 tokens for every second, and a burst of as many."""
    begun = time.monotonic()
    with ScriptedEndpoint() as endpoint:
        replies = ask(endpoint.url, times=20, tokens_per_minute=12000, max_tokens=20)
        took = endpoint.counts.times[-1] - begun
    used = sum(reply.prompt_tokens + reply.completion_tokens for reply in replies)
    assert used > 400
    assert took >= (used - 200 - 50) / 200


def test_a_client_process_that_dies_is_a_sentence() -> None:
    async def killed() -> None:
        llm = LLMProcesses(Endpoint(base_url=endpoint.url, model="m", key_variable="", processes=2))
        asked = asyncio.create_task(llm.ask(QUESTION))
        while endpoint.counts.requests == 0:  # noqa: ASYNC110 - the endpoint is in another thread
            await asyncio.sleep(0.01)
        for client in llm._clients:
            if client._process is not None:
                client._process.kill()
        with pytest.raises(EndpointFailed, match="client process ended unasked"):
            await asked
        await llm.close()

    with ScriptedEndpoint(free=0) as endpoint:
        asyncio.run(killed())
