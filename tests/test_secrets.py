"""What is shown of addresses and keys, and what is said of a connection that does not come about, over real sockets."""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback import Loopback

from simfarm.backends import open_backend
from simfarm.backends.http.complaints import error_fields, provider_words
from simfarm.backends.http.failures import Unreachable
from simfarm.cli import main
from simfarm.data.exchange import CallError, Request, TransientError
from simfarm.engine.runner import Engine
from simfarm.errors import InputError, ProviderError
from simfarm.text.masking import masked, secrets_of, shown_url

SECRET = "s3cr3t-9f8e7d6c5b4a"
ASKED = Request("judge-1", ({"role": "user", "content": "one or two?"},), {})
SPECS = ("openai/judge-1", "anthropic/judge-1")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://host:8000", "http://host:8000"),
        ("http://host:8000/", "http://host:8000"),
        ("https://host/v1", "https://host/…"),
        (f"https://host/{SECRET}/v1", "https://host/…"),
        (f"https://host?key={SECRET}", "https://host/…"),
        (f"https://me:{SECRET}@host:1/v1#x", "https://host:1/…"),
        (f"https://me:{SECRET}/x@host/v1", "https://…/…"),
        (f"https://host/v1?user=a@b&key={SECRET}", "https://host/…"),
        ("http://[::1]:80/v1", "http://[::1]:80/…"),
        ("localhost:8171", "localhost:8171"),
        (f"localhost:8171/{SECRET}", "localhost:8171/…"),
    ],
)
def test_an_address_is_shown_by_its_host(url: str, shown: str) -> None:
    assert shown_url(url) == shown


def test_messages_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "correct horse")
    secrets = secrets_of(f"http://host/{SECRET}/v1?sig=a%2Fb%2Fcdefgh&x=1", "OPENAI_API_KEY", "ANTHROPIC_API_KEY")
    for told in (SECRET, "a/b/cdefgh", "a%2Fb%2Fcdefgh", "correct horse"):
        assert masked(f"no route for '{told}' here", secrets) == "no route for '[key]' here"
    for key in ("gsk_0123456789", "hf_abcdefghij", "AIzaSyA0123456789", "Bearer abc.def-1", "api_key=abc123def"):
        assert "[key]" in masked(f"you sent {key}!")
        assert key[-5:] not in masked(f"you sent {key}!")
    plain = "the maximum token length is 4096; unknown key: temperature; API key provided, bearer of news"
    assert masked(plain) == plain
    assert masked(f"see https://h.example/docs?k={SECRET}, then") == "see https://h.example/… then"


def test_fastapis_words_are_passed_on_and_cut_after_a_word() -> None:
    assert error_fields({"detail": "this server serves tiny"})["message"] == "this server serves tiny"
    assert error_fields({"detail": [{"loc": ["body"], "msg": "Field required"}]})["message"] == "Field required"
    assert error_fields({"detail": [[[]]], "error": []})["message"] == ""
    words = provider_words("nineteen characters " * 20, ())
    assert words.endswith("characters …")
    assert len(words) <= 202
    assert provider_words("x" * 10_000, ()) == "x" * 199 + " …"
    assert provider_words("red \x1b[31m", ()) == "red \\x1b[31m"


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("sk-abcdef\r", "a line break"),
        ("sk-abcdef\nsk-x", "a line break"),
        ("sk-abc def", "a blank"),
        ("sk-abcdéf", "a letter outside ASCII"),
    ],
)
def test_a_key_that_no_header_can_carry_stops_the_run(
    monkeypatch: pytest.MonkeyPatch, spec: str, key: str, what: str
) -> None:
    variable = f"{spec.partition('/')[0].upper()}_API_KEY"
    monkeypatch.setenv(variable, key)
    with pytest.raises(InputError, match=f"^{variable} is no key: it holds {what}") as caught:
        open_backend(spec, base_url="http://127.0.0.1:1/v1")
    assert "sk-abc" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for localhost, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    made, key = folder / "cert.pem", folder / "key.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout {key} -out {made}"
    subprocess.run(shlex.split(command), check=True, capture_output=True)
    return made, key


async def listening(certificate: tuple[Path, Path] | None, scheme: str, spec: str) -> str:
    """What is said of a call by `scheme` to a server that speaks TLS with a certificate, or plain HTTP without."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        backend, _ = open_backend(spec, base_url=f"{scheme}://127.0.0.1:{port}/{SECRET}/v1", timeout=5.0)
        async with Engine(backend, retries=4, timeout=5.0) as engine:
            with pytest.raises((ProviderError, CallError)) as caught:
                await engine.complete(ASKED)
    assert SECRET not in str(caught.value)
    assert isinstance(caught.value, ProviderError)
    return str(caught.value)


@pytest.mark.parametrize("spec", SPECS)
async def test_a_certificate_nobody_signed_and_the_wrong_scheme_are_told(
    certificate: tuple[Path, Path], spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simfarm.engine.runner.FIRST_WAIT", 0.002)
    told = await listening(certificate, "https", spec)
    assert "certificate of https://127.0.0.1:" in told
    assert "SSL_CERT_FILE" in told
    assert "speaks http, not https" in await listening(None, "https", spec)
    assert "speak https?" in await listening(certificate, "http", spec)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize(
    ("host", "told"), [("no-such-host.invalid", r"no such host \(no-such-host\.invalid\)"), ("127.0.0.1:1", "refused")]
)
async def test_a_host_that_cannot_be_found_or_refuses_is_told(spec: str, host: str, told: str) -> None:
    backend, _ = open_backend(spec, base_url=f"http://{host}/{SECRET}/v1", timeout=5.0)
    with pytest.raises(Unreachable, match=f"^cannot connect to http://{host}/….*{told}") as caught:
        await backend.complete(ASKED)
    assert SECRET not in str(caught.value)
    await backend.close()


def quoting(server: Loopback, status: int) -> Callable[[object], str]:
    """A server that repeats the whole address and the key in its refusal."""
    words = f"POST {server.url}/{SECRET}/chat/completions?token={SECRET} with {SECRET} failed"
    return lambda call: f"{status}:{words}"


@pytest.mark.parametrize("spec", SPECS)
async def test_a_providers_words_repeat_no_key(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{spec.partition('/')[0].upper()}_API_KEY", SECRET)
    with Loopback() as server:
        for fault in (quoting(server, 400), lambda call: "404-path", lambda call: "401"):
            server.plan.refuse = fault
            backend, _ = open_backend(spec, base_url=f"{server.url}/v1?token={SECRET}", timeout=5.0)
            with pytest.raises((CallError, TransientError, ProviderError)) as caught:
                await backend.complete(ASKED)
            assert SECRET not in str(caught.value)
            await backend.close()


def test_a_key_in_the_address_reaches_neither_stderr_nor_files_nor_the_boards_manifest(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pairs = [
        {"instruction": f"Q{n}?", "output_1": "a", "output_2": "b", "generator_1": "x", "generator_2": "y"}
        for n in range(4)
    ]
    (tmp_path / "pairs.json").write_text(json.dumps(pairs))
    made = str(tmp_path / "made.jsonl")
    asked = ["annotate", str(tmp_path / "pairs.json"), "--judge", "pairwise-logprob", "--model", "openai/judge-1"]
    with Loopback() as server:
        server.plan.refuse = lambda call: quoting(server, 400)(call) if "Q1?" in call.prompt else None
        address = f"{server.url}/openai/deployments/{SECRET}"
        assert main([*asked, "--base-url", address, "--order", "both", "-o", made]) == 4
    assert main([*asked, "--base-url", f"http://127.0.0.1:1/{SECRET}/v1", "-o", str(tmp_path / "none.jsonl")]) == 2
    said = capfd.readouterr()
    assert "cannot connect to http://127.0.0.1:1/…" in said.err
    assert SECRET not in said.err + said.out
    errors = [row["error"] for row in map(json.loads, Path(made).read_text().splitlines()) if row["status"] == "error"]
    assert len(errors) == 2
    assert all("[key]" in error and "/…" in error for error in errors)
    assert SECRET not in Path(made).read_text()


def test_the_manifests_command_shows_the_address_by_its_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tmp_path / "verdicts.jsonl"
    row = {"output_1": "a", "output_2": "b", "generator_1": "x", "generator_2": "y", "annotator": "j", "preference": 2}
    made.write_text("".join(json.dumps(row | {"instruction": f"Q{n}?"}) + "\n" for n in range(4)))
    command = ["evaluate", str(made), "--add-to", str(tmp_path / "board")]
    monkeypatch.setattr(
        "sys.argv", ["simfarm", *command, "--base-url", f"http://h/{SECRET}/v1", f"--base-url=https://{SECRET}@h/v1"]
    )
    assert main(command) == 0
    kept = json.loads((tmp_path / "board.json").read_text())["command"]
    assert kept.endswith("--base-url http://h/… --base-url=https://h/…'") or "--base-url=https://h/…" in kept
    assert SECRET not in kept


def test_a_folders_manifest_names_the_server_without_a_key() -> None:
    from simfarm.runs.parts import server_name

    assert server_name("http://host:1/openai/v1/") == "http://host:1/openai/v1"
    named = server_name(f"http://me:{SECRET}@host/{SECRET}/v1?k={SECRET}")
    assert named != server_name("http://host/another-0123456789/v1")
    assert named is not None
    assert SECRET not in named
