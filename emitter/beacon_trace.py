"""Prints trace lines that beacon-collector turns into spans; one file, no dependencies, Python 3.9+.

    from beacon_trace import span

    with span("Modal inference", model="llama3.2-1b", region="us-east") as s:
        s.step("Model validated", model="llama3.2-1b")
        s.set(tokens=156)

    🔍 TRACE[abc123de]: Modal inference started - model=llama3.2-1b, region=us-east
    🔍 TRACE[abc123de]: Model validated - model=llama3.2-1b
    🔍 TRACE[abc123de]: SUCCESS - duration=2.45s, tokens=156

Owns the shape of those lines and, where OTEL_EXPORTER_OTLP_ENDPOINT is set, an additional OTLP push.
Refuses to configure logging, to start a thread unless the push is configured, and to keep what it is
given: values are reduced to plain text or numbers at the call, so that no tensor outlives its use.
Invariant: no `Exception` of this module reaches the caller, an exception of the caller's own passes
through unchanged, and each line is one write, under 200 KiB, that reads back equal.
"""

from __future__ import annotations

import atexit
import codecs
import contextvars
import datetime
import functools
import inspect
import json
import logging
import math
import numbers
import os
import queue
import re
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

__all__ = ["current", "flush", "span", "traced"]
__version__ = "0.1.0"

VALUE_LIMIT = 8192  # characters of one value; beyond it the middle is cut out and the cut is marked
NAME_LIMIT = 512  # characters of a span name or a step text
LINE_LIMIT = 190 * 1024  # bytes; fields beyond it are left out and counted in fields_omitted=

_EXIT_FLUSH_SECONDS = 2.0

_current: "contextvars.ContextVar[Optional[span]]" = contextvars.ContextVar("beacon_trace", default=None)


def _never_raises(method: Callable) -> Callable:
    """The caller's function matters more than its trace: whatever goes wrong in here stays in here."""

    @functools.wraps(method)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except Exception:  # a line is lost; there is nowhere to say so that could not fail as well
            return None

    return guarded


class span:
    """A span: prints its start on entry, its steps, and SUCCESS or FAILED on exit.

    Use it with `with` or `async with`. `trace_id` is a UUID or any id that the caller's services
    share; `parent` an id or another span (for threads, which inherit no context); `traceparent` the W3C
    header's value; `headers` the request's headers, of which `X-Trace-Id` and `traceparent` are read.
    What is not given is inherited from the enclosing span of the same process. A keyword argument
    of any other name is printed on the started line.
    """

    def __init__(
        self,
        name: Any = "span",
        /,
        *,
        trace_id: Any = None,
        parent: Any = None,
        execution_id: Any = None,
        job_id: Any = None,
        traceparent: Any = None,
        headers: Any = None,
        **fields: Any,
    ) -> None:
        self.id: Optional[str] = None
        """The id in the printed lines, 8 hex digits; None before entry."""
        self.context: Dict[str, Any] = {}
        """What is known of trace_id, execution_id and job_id, given or inherited."""
        self._name, self._start_fields = name, fields
        self._given = (trace_id, parent, execution_id, job_id, traceparent, headers)
        self._end_fields: Dict[str, Any] = {}
        self._error: Optional[str] = None
        self._open = False
        self._outer: Optional[span] = None
        self._generator: Optional[int] = None
        self._record: Optional[_OtlpSpan] = None

    def step(self, text: Any = "step", /, **fields: Any) -> None:
        """Prints a step of this span, with its fields."""
        if self.id is not None:
            self._step(text, fields)

    @_never_raises
    def _step(self, text: Any, fields: Mapping[str, Any]) -> None:
        text, fields = _step_text(text), _reduced(fields)
        _print_line(self.id, text, fields)
        if self._record is not None:
            self._record.event(text, fields)

    @_never_raises
    def set(self, /, **fields: Any) -> None:
        """Adds fields to the line that ends this span; a later value replaces an earlier one."""
        self._end_fields.update(_reduced(fields, reserved=("duration", "error")))

    @_never_raises
    def fail(self, error: Any) -> None:
        """Makes this span end as FAILED although no exception leaves it, for functions that catch
        their own: `error` is the exception, or a text."""
        self._error = _error_text(error)

    def __enter__(self) -> "span":
        self._enter(_calling_frame())
        return self

    def __exit__(self, kind: Any, error: Optional[BaseException], trace: Any) -> None:
        self._exit(error)

    async def __aenter__(self) -> "span":
        self._enter(_calling_frame())
        return self

    async def __aexit__(self, kind: Any, error: Optional[BaseException], trace: Any) -> None:
        self._exit(error)

    @_never_raises
    def _enter(self, frame: Any) -> None:
        self._generator = _generator_frame_id(frame)
        self._outer = _first(_current.get(), lambda outer: outer._open)
        enclosing = _first(self._outer, lambda outer: outer._open and outer._is_running())
        # Not `random`: containers restored from one memory snapshot would all draw the same ids.
        self._span_id = os.urandom(8).hex()
        self.id, self._open = self._span_id[:8], True
        self._error, self._end_fields, self._record = None, {}, None
        _current.set(self)
        self._began = time.perf_counter()
        name = _span_name(self._name)
        self.context, parent = _context(self._given, enclosing)
        fields = _reduced(self._start_fields, reserved=("trace_id", "parent", "execution_id", "job_id"))
        link = {"parent": parent.id if isinstance(parent, span) else parent}
        # Context first: it is what a line may least lose when the platform cuts it.
        shown = {key: value for key, value in {**self.context, **link}.items() if value is not None}
        _print_line(self.id, name + " started", {**shown, **fields})
        exporter = _configured_exporter()
        if exporter is not None:
            self._record = _OtlpSpan(exporter, name, self, parent, fields)

    @_never_raises
    def _exit(self, error: Optional[BaseException]) -> None:
        if not self._open:
            return
        self._open = False
        # A span may end out of order, or (an abandoned generator) in another context: then
        # the context is left as it is, and the search for an enclosing span passes ended ones over.
        if _current.get() is self:
            _current.set(_first(self._outer, lambda outer: outer._open))
        micros = max(0, round((time.perf_counter() - self._began) * 1_000_000))
        fields: Dict[str, Any] = {"duration": _duration(micros if micros < 100_000 else round(micros, -3))}
        if isinstance(error, GeneratorExit):
            # The consumer wants no more: nothing failed in here.
            fields["closed_early"], error = True, None
        failure = self._error if error is None else _error_text(error)
        if failure is not None:
            fields = {"error": failure, **fields}
        _print_line(self.id, "SUCCESS" if failure is None else "FAILED", {**fields, **self._end_fields})
        if self._record is not None:
            self._record.end(failure, self._end_fields)

    def _is_running(self) -> bool:
        """False for a span held by a generator that is suspended at a `yield`: such a span encloses
        the rest of its generator's body, not what the consumer does between two items."""
        if self._generator is None:
            return True
        frame: Any = sys._getframe(1)
        while frame is not None and id(frame) != self._generator:
            frame = frame.f_back
        return frame is not None


def current() -> span:
    """The innermost open span around the caller; where there is none, one that prints nothing."""
    return _current_or_none() or span()


@_never_raises
def _current_or_none() -> Optional[span]:
    return _first(_current.get(), lambda outer: outer._open and outer._is_running())


def traced(name: Any = None, /, *, arguments: Iterable[str] = (), **fields: Any) -> Any:
    """Decorates a function, coroutine function, generator or async generator: each run is a span.

    `arguments` names the parameters to take into the span: `trace_id`, `execution_id`, `job_id`,
    `traceparent`, `parent` and `headers` as context, others as fields. `name` defaults to the function's.
    A generator's span begins with its first item, as its body does.
    """
    if callable(name) or isinstance(name, (staticmethod, classmethod)):
        return traced()(name)

    def decorate(function: Any) -> Any:
        if isinstance(function, (staticmethod, classmethod)):
            return type(function)(decorate(function.__func__))
        label = getattr(function, "__name__", "span") if name is None else name
        picked = tuple(arguments)

        def opened(args: tuple, kwargs: dict) -> span:
            return span(label, **{**fields, **(_pick_arguments(function, picked, args, kwargs) or {})})

        return functools.wraps(function)(_wrapper(function, opened))

    return decorate


def _wrapper(function: Callable, opened: Callable[[tuple, dict], span]) -> Callable:
    """A wrapper of the same kind as `function`, since callers and frameworks ask for the kind."""
    if inspect.isasyncgenfunction(function):

        async def async_items(*args: Any, **kwargs: Any) -> Any:
            with opened(args, kwargs):
                items = function(*args, **kwargs)
                try:
                    item = await items.__anext__()
                    while True:
                        try:
                            sent = yield item
                        except GeneratorExit:
                            await items.aclose()
                            raise
                        except BaseException as error:  # athrow() belongs to the wrapped generator
                            item = await items.athrow(error)
                        else:
                            item = await items.asend(sent)
                except StopAsyncIteration:
                    return

        return async_items
    if inspect.isgeneratorfunction(function):

        def items(*args: Any, **kwargs: Any) -> Any:
            with opened(args, kwargs):
                return (yield from function(*args, **kwargs))

        return items
    if inspect.iscoroutinefunction(function):

        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            with opened(args, kwargs):
                return await function(*args, **kwargs)

        return coroutine

    def plain(*args: Any, **kwargs: Any) -> Any:
        with opened(args, kwargs):
            return function(*args, **kwargs)

    return plain


@_never_raises
def _pick_arguments(function: Callable, picked: Tuple[str, ...], args: tuple, kwargs: dict) -> Dict[str, Any]:
    if not picked:
        return {}
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return {key: bound.arguments[key] for key in picked if key in bound.arguments}


def _first(candidate: Optional[span], wanted: Callable[[span], bool]) -> Optional[span]:
    """The innermost of `candidate` and the spans around it that is wanted."""
    while candidate is not None and not wanted(candidate):
        candidate = candidate._outer
    return candidate


@_never_raises
def _calling_frame() -> Any:
    """The frame with the `with` statement, also where contextlib's ExitStack stands between."""
    frame: Any = sys._getframe(3)  # past this function, its guard and __enter__
    while frame is not None and frame.f_globals.get("__name__") == "contextlib":
        frame = frame.f_back
    return frame


def _generator_frame_id(frame: Any) -> Optional[int]:
    """The identity of a generator's frame. The id alone: holding the frame would hold its locals."""
    if frame is None or not frame.f_code.co_flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR):
        return None
    return id(frame)


# --- context -----------------------------------------------------------------------------------------

_HEX_ID = re.compile(r"([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})")
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?", re.DOTALL)


def _context(given: tuple, enclosing: Optional[span]) -> Tuple[Dict[str, Any], Any]:
    """What the started line says of trace, execution and job, and the parent: an id or a span.

    Given beats inherited. `X-Trace-Id` beats a `traceparent` among the headers, because
    proxies and instrumented clients add the latter unasked; and the parent in a traceparent counts
    only if its trace is the one chosen.
    """
    trace_id, parent, execution_id, job_id, traceparent, headers = given
    if isinstance(parent, span):
        enclosing, parent = parent, None
    inherited = enclosing.context if enclosing is not None else {}
    found = _header_values(headers) or {}
    remotes = [_parse_traceparent(value) or (None, None) for value in (traceparent, found.get("traceparent"))]
    trace_ids = (_trace_id(trace_id), remotes[0][0], _trace_id(found.get("x-trace-id")), remotes[1][0])
    given_context = {
        "trace_id": next((known for known in trace_ids if known is not None), None),
        "execution_id": _execution_id(execution_id),
        "job_id": _id_text(job_id),
    }
    context = {key: inherited.get(key) if value is None else value for key, value in given_context.items()}
    remote_parents = [remote for trace, remote in remotes if remote and trace == context["trace_id"]]
    return context, _id_text(parent) or next(iter(remote_parents), enclosing)


@_never_raises
def _header_values(headers: Any) -> Optional[Dict[str, str]]:
    """The two headers of interest, from a mapping or from pairs, of text or of bytes."""
    if headers is None:
        return None
    pairs = headers.items() if hasattr(headers, "items") else headers
    decoded = ((_latin(key).lower(), _latin(value)) for key, value in pairs)
    return {key: value for key, value in decoded if key in ("traceparent", "x-trace-id")}


def _latin(text: Any) -> str:
    return text.decode("latin-1") if isinstance(text, (bytes, bytearray)) else str(text)


@_never_raises
def _parse_traceparent(value: Any) -> Optional[Tuple[str, str]]:
    match = _TRACEPARENT.fullmatch(_latin(value).strip().lower()) if value is not None else None
    if match is None or (match[1] == "00" and match[4]) or not match[3].strip("0"):
        return None
    trace_id = _trace_id(match[2])
    return None if trace_id is None else (trace_id, match[3])


def _trace_id(value: Any) -> Optional[str]:
    """A UUID or 32 hex digits in UUID form; any other id as it is."""
    text = _id_text(value)
    match = _HEX_ID.fullmatch(text.lower()) if isinstance(text, str) else None
    if match is None:
        return text
    return "-".join(match.groups()) if "".join(match.groups()).strip("0") else None


def _execution_id(value: Any) -> Any:
    """An execution id is a number where it can be one, whichever way it travelled here."""
    known = _id_text(value)
    return int(known) if isinstance(known, str) and re.fullmatch(r"[1-9][0-9]{0,17}", known) else known


@_never_raises
def _id_text(value: Any) -> Any:
    """An id as text or whole number. What is empty or longer than any id is none."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return _scalar(value)
    text = _text(_latin(value)).strip()
    return text if 0 < len(text) <= 128 else None


# --- values ------------------------------------------------------------------------------------------

_BARE = re.compile(r"[A-Za-z0-9_.:/@+-]+")
# Text that a reader could take for a number (also 1e5, nan), a duration, a boolean or None.
_LOOKS_TYPED = re.compile(
    r"[+-]?(\.?[0-9][0-9_.]*(e[+-]?[0-9]+)?[a-z]*|([0-9][0-9_.]*(ns|us|ms|s|m|h|d))+|true|false|none|null|nan|inf|infinity)",
    re.I,
)
# The time that `modal app logs --timestamps` puts before each entry, also before one that it glues on.
_LOG_PREFIX = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}) (?=[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9:]{4,5})( |$))")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _reduced(fields: Mapping[str, Any], reserved: Tuple[str, ...] = ()) -> Dict[str, Any]:
    """Fields with printable keys and values. A key that the line has a meaning for gets a `_` behind."""
    keys = ((_key(key), value) for key, value in fields.items())
    return {key + "_" if key in reserved else key: _scalar(value) for key, value in keys}


def _key(key: str) -> str:
    key = re.sub(r"[^A-Za-z0-9_.-]", "_", str(key))[:64]
    return key if re.match(r"[A-Za-z_]", key) else "_" + key


def _scalar(value: Any) -> Any:
    """Reduces any value to what a line can carry and give back: None, a boolean, a 64-bit integer, a
    finite number, a duration (timedelta), or text."""
    try:
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            return _text(value)
        if isinstance(value, numbers.Integral):
            whole = int(value)
            return whole if -(2**63) <= whole < 2**63 else _text(whole)
        if isinstance(value, numbers.Real) and math.isfinite(value):
            return float(value)
        if isinstance(value, datetime.timedelta):
            # Readers may hold durations as floats; 2**53 microseconds are 285 years.
            printable = 0 <= value // datetime.timedelta(microseconds=1) < 2**53
            return value if printable else _text(value)
        return _text(value)
    except Exception:  # __str__, __class__, __int__ are the caller's code
        return f"<unprintable {_type_name(type(value))}>"


def _text(value: Any) -> str:
    """Text without lone surrogates (no UTF-8 holds them), its middle cut out beyond the limit."""
    if isinstance(value, (bytes, bytearray)):
        value = repr(value)  # str() of bytes is an error under `python -bb`
    text = str.__str__(value if isinstance(value, str) else str(value))
    if len(text) > VALUE_LIMIT:
        tail = VALUE_LIMIT // 4
        head = VALUE_LIMIT - tail - 64  # the mark is shorter than that
        text = f"{text[:head]}...[{len(text) - head - tail} characters cut]...{text[-tail:]}"
    return _SURROGATE.sub("\ufffd", text)


def _type_name(kind: type) -> str:
    try:
        return re.sub(r"[\s:]", "_", _text(kind.__name__)) or "Error"
    except Exception:  # a metaclass is the caller's code
        return "Error"


def _error_text(error: Any) -> str:
    """`Type: message` of an exception, `Type` of one without a message; of anything else its text."""
    if isinstance(error, type) and issubclass(error, BaseException):
        return _type_name(error)
    if not isinstance(error, BaseException):
        return str(_scalar(error)) or "Error"
    try:
        message = _text(error)
    except Exception:  # __str__ is the caller's code
        message = "<unprintable message>"
    name = _type_name(type(error))
    return f"{name}: {message}" if message else name


def _duration(micros: int) -> datetime.timedelta:
    return datetime.timedelta(microseconds=micros)


def _format(value: Any, ascii_only: bool) -> str:
    if isinstance(value, datetime.timedelta):
        seconds, micros = divmod(value // datetime.timedelta(microseconds=1), 1_000_000)
        return f"{seconds}.{f'{micros:06d}'.rstrip('0').ljust(2, '0')}s"
    if not isinstance(value, str):
        return repr(value)
    if _BARE.fullmatch(value) and not _LOOKS_TYPED.fullmatch(value):
        return value
    return _quote(value, ascii_only)


def _quote(text: str, ascii_only: bool) -> str:
    plain = text.isascii() if ascii_only else True
    if not (plain and text.isprintable() and '"' not in text and "\\" not in text):
        text = "".join(_ESCAPES.get(char) or _escape(char, ascii_only) for char in text)
    # A quoted trace line or log prefix must not look like one to any reader, not even to one that
    # gets this line in two halves: the escapes read back the same.
    return '"' + _LOG_PREFIX.sub(r"\1\\u0020", text.replace("TRACE[", "TRACE\\u005b")) + '"'


def _escape(char: str, ascii_only: bool) -> str:
    if char.isprintable() and not (ascii_only and char > "~"):
        return char
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


# --- lines -------------------------------------------------------------------------------------------

_KEYWORD = re.compile(r"(SUCCESS|FAILED|FAILURE|ERROR|TIMEOUT)(?![A-Za-z0-9_])")


def _phrase(value: Any, empty: str) -> str:
    """A name or step text that stands on one line, unquoted, and cannot end early or begin another:
    what is not printable becomes a space, spaces collapse, ` - ` (before the fields) becomes ` -- `,
    `TRACE[` (a header) `TRACE [`, and the space in a date and time with zone (a log prefix) a `T`."""
    text = str(_scalar(value))
    words = "".join(char if char.isprintable() else " " for char in text).split()
    text = " ".join("--" if word == "-" else word for word in words)
    text = _LOG_PREFIX.sub(r"\1T", text.replace("TRACE[", "TRACE ["))
    return (text if len(text) <= NAME_LIMIT else text[:NAME_LIMIT].rstrip() + "...") or empty


def _span_name(value: Any) -> str:
    name = _phrase(value, "span")
    return "span " + name if _KEYWORD.match(name) else name


def _step_text(value: Any) -> str:
    """A step that would read as the end or the start of its span says that it is a step."""
    text = _phrase(value, "step")
    text = "step " + text if _KEYWORD.match(text) else text
    return text + " (step)" if re.search(r"(^| )started$", text) else text


def _line(log_id: Optional[str], text: str, fields: Mapping[str, Any], ascii_only: bool) -> str:
    if ascii_only:
        text = text.encode("ascii", "backslashreplace").decode("ascii")
    head = f"{'' if ascii_only else '🔍 '}TRACE[{log_id}]: {text}"
    room, parts = LINE_LIMIT - len(head.encode()), []
    for key, value in fields.items():
        part = f"{key}={_format(value, ascii_only)}"
        size = len(part.encode()) + 2
        if size <= room:
            parts.append(part)
            room -= size
    if len(parts) < len(fields):
        parts.append(f"fields_omitted={len(fields) - len(parts)}")
    return head + (" - " + ", ".join(parts) if parts else "")


def _print_line(log_id: Optional[str], text: str, fields: Mapping[str, Any]) -> None:
    try:
        out = sys.stdout
        ascii_only = not _takes_unicode(out)
        # One write with its newline: TextIOWrapper keeps it whole against other threads, and a lock
        # of our own could deadlock with one inside a replaced stdout.
        try:
            out.write(_line(log_id, text, fields, ascii_only) + "\n")
        except UnicodeError:  # an encoding that is not what it says
            out.write(_line(log_id, text, fields, True) + "\n")
        out.flush()
    except Exception:  # closed, None, a broken pipe, a full disk: the function goes on without its trace
        pass


def _takes_unicode(out: Any) -> bool:
    """UTF-8, or an in-memory stream without encoding. Others may hold some characters, but in bytes
    that nobody who reads UTF-8 will find again."""
    encoding = getattr(out, "encoding", None)
    try:
        return encoding is None or codecs.lookup(encoding).name == "utf-8"
    except Exception:  # no such codec, or not a name
        return False


# --- OTLP push ---------------------------------------------------------------------------------------


class _OtlpSpan:
    """A span on its way into an OTLP/HTTP JSON request."""

    EVENT_LIMIT = 128  # OpenTelemetry's default number of events in a span

    def __init__(self, exporter: "_Exporter", name: str, owner: span, parent: Any, fields: Mapping[str, Any]) -> None:
        self._exporter = exporter
        trace_id = str(owner.context["trace_id"] or "").replace("-", "")
        around = parent._record if isinstance(parent, span) else None
        if not re.fullmatch(r"[0-9a-f]{32}", trace_id):
            trace_id = around.body["traceId"] if around is not None else os.urandom(16).hex()
        self._attributes = {"log_id": owner.id, **owner.context, **fields}
        self.body: Dict[str, Any] = {
            "traceId": trace_id,
            "spanId": owner._span_id,
            "name": name,
            "kind": 1,
            "startTimeUnixNano": str(time.time_ns()),
            "events": [],
        }
        parent_id = parent._span_id if isinstance(parent, span) else parent
        if isinstance(parent_id, str) and re.fullmatch(r"[0-9a-f]{16}", parent_id):
            self.body["parentSpanId"] = parent_id
        elif parent_id is not None:
            self._attributes["parent"] = parent_id

    def event(self, text: str, fields: Mapping[str, Any]) -> None:
        if len(self.body["events"]) < self.EVENT_LIMIT:
            event = {"name": text, "timeUnixNano": str(time.time_ns()), "attributes": _otlp_attributes(fields)}
            self.body["events"].append(event)

    def end(self, failure: Optional[str], fields: Mapping[str, Any]) -> None:
        self.body["endTimeUnixNano"] = str(time.time_ns())
        self.body["status"] = {"code": 1} if failure is None else {"code": 2, "message": failure}
        self.body["attributes"] = _otlp_attributes({**self._attributes, **fields})
        self._exporter.submit(self.body)


def _otlp_attributes(fields: Mapping[str, Any]) -> List[Dict[str, Any]]:
    return [{"key": key, "value": _otlp_value(value)} for key, value in fields.items() if value is not None]


def _otlp_value(value: Any) -> Dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": _format(value, False) if isinstance(value, datetime.timedelta) else value}


def _opener() -> Any:
    # Imported here: it would add tens of milliseconds to every cold start that has no use for it.
    import urllib.request

    class NoRedirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args: Any, **kwargs: Any) -> None:
            """Follows none: the headers carry credentials that are meant for one host."""

    return urllib.request.build_opener(NoRedirects)


class _Exporter:
    """Sends ended spans from a thread of its own. What does not fit the queue is dropped."""

    QUEUE = 2048  # spans: a few MB at most, minutes of a busy container
    BATCH = 256
    ATTEMPTS = 3

    def __init__(self, url: str, headers: Mapping[str, str], resource: Mapping[str, Any]) -> None:
        self._url = url
        self._headers = {**headers, "Content-Type": "application/json"}
        self._resource = _otlp_attributes(resource)
        self._opener = _opener()
        self._starting = threading.Lock()
        self._warned = False
        self._restart()

    def _restart(self) -> None:
        self._queue: "queue.Queue[Dict[str, Any]]" = queue.Queue(self.QUEUE)
        self._thread: Optional[threading.Thread] = None
        self._pid = os.getpid()

    def submit(self, body: Dict[str, Any]) -> None:
        """Never blocks: the lock is held only while a thread starts."""
        if self._pid != os.getpid():  # after a fork the thread is gone and its locks are anyone's
            self._starting = threading.Lock()
            self._restart()
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    thread = threading.Thread(target=self._run, name="beacon-trace-otlp", daemon=True)
                    thread.start()
                    self._thread = thread
        try:
            self._queue.put_nowait(body)
        except queue.Full:
            self._warn("its queue is full")

    def flush(self, timeout: float) -> bool:
        if self._pid != os.getpid():
            return True
        with self._queue.all_tasks_done:
            return self._queue.all_tasks_done.wait_for(lambda: not self._queue.unfinished_tasks, timeout)

    def _run(self) -> None:
        while True:
            batch = [self._queue.get()]
            while len(batch) < self.BATCH and not self._queue.empty():
                batch.append(self._queue.get())
            try:
                self._send(batch)
            except Exception as error:  # the caller's line is printed already; this copy is lost
                self._warn(type(error).__name__)
            for _ in batch:
                self._queue.task_done()

    def _send(self, batch: List[Dict[str, Any]]) -> None:
        import urllib.error
        import urllib.request

        scope = {"name": "beacon_trace", "version": __version__}
        spans = [{"resource": {"attributes": self._resource}, "scopeSpans": [{"scope": scope, "spans": batch}]}]
        payload = json.dumps({"resourceSpans": spans}).encode()
        for attempt in range(1, self.ATTEMPTS + 1):
            try:
                request = urllib.request.Request(self._url, payload, self._headers, method="POST")
                with self._opener.open(request, timeout=10):
                    return
            except urllib.error.HTTPError as error:
                error.close()
                # The statuses that OTLP calls retryable.
                if error.code not in (429, 502, 503, 504) or attempt == self.ATTEMPTS:
                    raise
            except OSError:
                if attempt == self.ATTEMPTS:
                    raise
            time.sleep(0.25 * attempt)

    def _warn(self, why: str) -> None:
        """Once; without the URL, which may hold credentials."""
        if not self._warned:
            self._warned = True
            logging.getLogger("beacon_trace").warning("OTLP push lost spans: %s; said only once", why)


def _pairs(text: str) -> Dict[str, str]:
    """The form of OpenTelemetry's variables: key=value,key=value, percent-encoded."""
    from urllib.parse import unquote

    split = (part.partition("=") for part in text.split(",") if "=" in part)
    return {key.strip(): unquote(value.strip()) for key, _, value in split}


def _exporter_from(env: Mapping[str, str]) -> Optional[_Exporter]:
    """The exporter that OpenTelemetry's variables ask for, None if they ask for none that this can be."""
    base = env.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
    url = env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip() or (base and base.rstrip("/") + "/v1/traces")
    protocol = env.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or env.get("OTEL_EXPORTER_OTLP_PROTOCOL", "")
    disabled = env.get("OTEL_SDK_DISABLED", "").lower() == "true" or env.get("OTEL_TRACES_EXPORTER") == "none"
    # Not file: or ftp:, which urllib would open as well; and a gRPC port does not speak HTTP.
    if disabled or protocol.strip() == "grpc" or not url.lower().startswith(("http://", "https://")):
        return None
    headers = env.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS") or env.get("OTEL_EXPORTER_OTLP_HEADERS", "")
    resource = {"service.name": "modal", **_pairs(env.get("OTEL_RESOURCE_ATTRIBUTES", ""))}
    # Modal's own variables: the container as the log lines name it, and where it runs.
    variables = {"service.name": "OTEL_SERVICE_NAME", "container.id": "MODAL_TASK_ID", "cloud.region": "MODAL_REGION"}
    resource.update({key: env[variable] for key, variable in variables.items() if env.get(variable)})
    return _Exporter(url, _pairs(headers), resource)


_configuring = threading.RLock()  # two first spans must not make two exporters
_configured: List[Optional[_Exporter]] = []


def _configured_exporter() -> Optional[_Exporter]:
    """Decided once, at the first span."""
    if not _configured:
        with _configuring:
            if not _configured:
                exporter = _never_raises(_exporter_from)(os.environ)
                if exporter is not None:
                    atexit.register(flush, _EXIT_FLUSH_SECONDS)
                _configured.append(exporter)
    return _configured[0]


def flush(timeout: float = _EXIT_FLUSH_SECONDS) -> bool:
    """Waits until ended spans are pushed, at most `timeout` seconds; says whether they all were. Lines
    need no flush, and without OTLP there is nothing to wait for."""
    exporter = _configured_exporter()
    return exporter is None or bool(_never_raises(exporter.flush)(timeout))
