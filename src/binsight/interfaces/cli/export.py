"""``binsight export``: a run or a bundle in; a bundle, or a file of another format out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from binsight.bundle import Precision
from binsight.errors import UsageError


def _share(what: str, usual: float) -> Any:
    return typer.Option(help=what, min=0, max=1, show_default=f"{usual}, or a bundle's")


def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN|BUNDLE|NAME", help="A run folder, a bundle, or one that is built in."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The file, such as mine.onnx or mine.tflite.")],
    to: Annotated[
        str, typer.Option(metavar="FORMAT", help="onnx, litert, tensorrt, coreml or executorch.")
    ] = "onnx",
    int8: Annotated[
        bool, typer.Option("--int8", help="Compute in 8 bits, if that keeps the accuracy.")
    ] = False,
    fp16: Annotated[
        bool, typer.Option("--fp16", help="Weights in float16, if that keeps the accuracy.")
    ] = False,
    photos: Annotated[
        list[Path] | None,
        typer.Option(help="Photos to compare on; of a run, where its photos are now."),
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="Of these photos; val is compared, --part calibrates.")
    ] = None,
    part: Annotated[
        str, typer.Option(help="Part of the split that int8 is calibrated on.")
    ] = "train",
    risk: Annotated[
        float | None, _share("Largest share of wrong answers among the sure ones.", 0.02)
    ] = None,
    accepted: Annotated[
        float | None, _share("Share of validation photos that are to pass as not strange.", 0.9)
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(
            help="SPDX identifier for the weights.", show_default="Apache-2.0, or a bundle's"
        ),
    ] = None,
    store: Annotated[
        Literal["fp32", "fp16"],
        typer.Option(help="fp16 is the same as --fp16."),
    ] = "fp32",
) -> None:
    """Write a bundle, or another format, and check that it answers like what it was made of."""
    from .exported import Asked, Fitting, export_any

    asked = Asked(
        source=source,
        to=to,
        out=out,
        precision=_precision(int8=int8, fp16=fp16 or store == "fp16"),
        photos=tuple(photos or ()),
        split=split,
        part=part,
        fitting=Fitting(risk=risk, accepted=accepted, licence=licence),
    )
    export_any(asked)


def _precision(*, int8: bool, fp16: bool) -> Precision:
    if int8 and fp16:
        raise UsageError("--int8 and fp16 exclude each other; give one")
    if int8:
        return "int8"
    return "fp16" if fp16 else "fp32"
