"""The application: which paths there are, and what each of them does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.security import HTTPBearer

from binsight import __version__
from binsight.errors import UnexplainableError
from binsight.runtime import Prediction

from .answers import Answers, Health, Kept, ModelAnswer
from .bodies import FORM, RAW, Body, read_body
from .edge import Drained, Edge
from .leaving import departure
from .problems import PROBLEM_JSON, Problem, RefusedError, install, unanswered
from .settings import Settings
from .tokens import Tokens
from .work import Work

__all__ = ["create_app"]

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BINARY = {"type": "string", "format": "binary"}
DESCRIPTION = "Say what photos of garbage are made of, and keep what people put right."
WHAT = {
    400: "The form is broken.",
    401: "No token, or a wrong one.",
    403: "This service keeps no corrections.",
    408: "The body did not arrive in time.",
    413: "Too many bytes, pixels or photos.",
    415: "A body of another kind.",
    422: "Not a photo, or a value that cannot be used.",
    503: "Full; try again after the seconds in Retry-After.",
}


def create_app(settings: Settings) -> FastAPI:
    """Load the model and make the application; its threads live as long as its lifespan.

    Raises:
        BinsightError: the model or the bins cannot be used.
    """
    work = Work(settings)
    app = FastAPI(title="binsight", version=__version__, description=DESCRIPTION, lifespan=_live)
    app.state.work = work
    install(app)
    app.include_router(_answering(settings))
    app.include_router(_watching())
    app.add_middleware(Drained, max_bytes=settings.max_request_bytes)
    app.add_middleware(Edge, metrics=work.metrics)
    _describe(app)
    return app


@asynccontextmanager
async def _live(app: FastAPI) -> AsyncIterator[None]:
    work: Work = app.state.work
    work.start()
    follower = asyncio.create_task(work.follow())
    try:
        yield
    finally:
        follower.cancel()
        await asyncio.to_thread(work.close)


def _answering(settings: Settings) -> APIRouter:
    """What needs a token, if there are some."""
    guards = []
    if settings.tokens:
        tokens = Tokens(settings.tokens)
        guards = [Depends(HTTPBearer(auto_error=False)), Depends(_guard(tokens))]
    router = APIRouter(prefix="/v1", dependencies=guards)
    always = [401] if settings.tokens else []
    sending = [400, *always, 408, 413, 415, 422, 503]
    router.add_api_route(
        "/classify",
        _classify,
        methods=["POST"],
        summary="Say what photos show",
        response_model=Answers,
        responses=_problems(sending),
        openapi_extra=_takes({"photos": {"type": "array", "items": BINARY, "minItems": 1}}),
    )
    router.add_api_route(
        "/corrections",
        _correct,
        methods=["POST"],
        summary="Keep a photo under its right label",
        status_code=201,
        response_model=Kept,
        responses=_problems([*sending, 403]),
        openapi_extra=_takes({"photo": BINARY, "label": {"type": "string"}}, needed=["photo"]),
    )
    _look(
        router,
        "/model",
        _model,
        summary="What the model says about itself",
        response_model=ModelAnswer,
        responses=_problems(always),
    )
    return router


def _watching() -> APIRouter:
    router = APIRouter()
    _look(router, "/healthz", _health, summary="Does it live?", response_model=Health)
    _look(router, "/readyz", _ready, summary="Does it take requests?", response_model=Health)
    _look(
        router,
        "/metrics",
        _metrics,
        summary="Figures for Prometheus",
        response_class=PlainTextResponse,
    )
    return router


def _look(router: APIRouter, path: str, endpoint: Callable[..., Any], **described: Any) -> None:
    """Answer GET, and HEAD as RFC 9110 wants it; the server leaves the body out."""
    # The document would give both the same name, so that HEAD stays out of it: the first route
    # answers, the second one is what is described.
    methods = ["GET", "HEAD"]
    router.add_api_route(path, endpoint, methods=methods, include_in_schema=False, **described)
    router.add_api_route(path, endpoint, methods=["GET"], **described)


def _guard(tokens: Tokens) -> Any:
    async def check(request: Request) -> None:
        tokens.check(request.headers.get("authorization"))

    return check


async def _classify(
    request: Request,
    heatmap: Annotated[
        Literal["true", "false"], Query(description="Also a picture of where the model looked.")
    ] = "false",
) -> Response:
    """One photo that cannot be used is a problem; among several it has its error in its place."""
    work = _work(request)
    most = work.settings.max_photos
    async with _admitted(request, max_photos=most) as body, departure(request) as gone:
        model = work.model
        try:
            told = await work.tell(model, body.photos, heatmap=heatmap == "true", gone=gone)
        except UnexplainableError as error:
            raise RefusedError(422, "this model has no heat maps; leave out heatmap") from error
    failed = [one for one in told if not isinstance(one.answer, Prediction)]
    _note(request, photos=len(told), unusable=len(failed))
    if len(told) == 1 and failed:
        wrong = failed[0].values["error"]
        raise unanswered(wrong["status"], wrong["detail"])
    return JSONResponse({"model": model.classifier.digest, "photos": [one.values for one in told]})


async def _correct(
    request: Request,
    label: Annotated[
        str | None, Query(description="What it shows, if the form has no field of this name.")
    ] = None,
) -> Response:
    """The label may be a class that the model does not know yet. Repeating it changes nothing."""
    work = _work(request)
    folder = work.settings.corrections
    if folder is None:
        raise RefusedError(403, "this service keeps no corrections; start it with --corrections")
    fields = ["label"]
    async with (
        _admitted(request, max_photos=1, fields=fields) as body,
        departure(request) as gone,
    ):
        model, named = work.model, _label(body, label)
        path, told = await work.keep(folder, model, body.photos[0], named, gone=gone)
    return JSONResponse(
        {
            "file": path.as_posix(),
            "label": path.parts[0],
            "model": model.classifier.digest,
            "said": told.values,
        },
        201,
    )


@asynccontextmanager
async def _admitted(
    request: Request, *, max_photos: int, fields: Collection[str] = ()
) -> AsyncIterator[Body]:
    """Read the body of a request while there is room, and hold a place for what it asks."""
    work = _work(request)
    work.places.check()
    with work.room.one() as room:
        body = await read_body(request, work.settings, room, max_photos=max_photos, fields=fields)
        with work.places.one():
            yield body


def _label(body: Body, query: str | None) -> str:
    label = body.fields.get("label", query)
    if label is None:
        raise RefusedError(422, "no label; send a field label, or ?label= beside a raw photo")
    return label


async def _model(request: Request) -> ModelAnswer:
    model = _work(request).model
    return ModelAnswer(
        digest=model.classifier.digest,
        metadata=model.classifier.metadata,
        bins=[one.name for one in model.bins.bins] if model.bins else None,
    )


async def _health() -> Health:
    return Health(status="alive")


async def _ready() -> Health:
    return Health(status="ready")


async def _metrics(request: Request) -> Response:
    return Response(_work(request).metrics.text(), media_type=METRICS_TYPE)


def _work(request: Request) -> Work:
    work = request.app.state.work
    assert isinstance(work, Work)
    return work


def _note(request: Request, **told: int) -> None:
    """Leave figures for the request's line of log."""
    request.scope.setdefault("state", {})["told"] = told


def _problems(statuses: list[int]) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Problem, "description": WHAT[status]} for status in statuses}


def _takes(fields: dict[str, Any], needed: list[str] | None = None) -> dict[str, Any]:
    """Describe a body that the framework does not read."""
    form = {
        "type": "object",
        "properties": fields,
        "required": needed or list(fields),
        "additionalProperties": False,
    }
    kinds = {FORM: form, "image/jpeg": BINARY, "image/png": BINARY, RAW: BINARY}
    content = {kind: {"schema": schema} for kind, schema in kinds.items()}
    return {"requestBody": {"required": True, "content": content}}


def _describe(app: FastAPI) -> None:
    """Let the OpenAPI document say that problems have a media type of their own."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            for path in document["paths"].values():
                for operation in path.values():
                    _retype(operation["responses"])
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _retype(responses: dict[str, Any]) -> None:
    for status, response in responses.items():
        if status >= "400":
            response["content"] = {PROBLEM_JSON: response["content"]["application/json"]}
        if status == "503":
            seconds = {"schema": {"type": "integer"}, "description": "Seconds to wait."}
            response["headers"] = {"Retry-After": seconds}
