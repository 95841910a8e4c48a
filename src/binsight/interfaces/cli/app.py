"""The commands together, and how an error becomes one line and an exit status.

Exit status: 0 all is well; 1 some photos could not be read, or two files answer differently;
2 nothing was done, and stderr says why in one line; 130 interrupted.
"""

from __future__ import annotations

import codecs
import io
import os
import sys

import typer

from binsight import __version__
from binsight.errors import BinsightError

from . import (
    app_command,
    bench,
    classify,
    correct,
    data,
    distill,
    evaluate,
    explain,
    export,
    info,
    refit,
    serve,
    soup,
    teach,
    train,
    verify,
    watch,
    web,
)
from .terminal import printable

__all__ = ["app", "main"]

IN_WORKER = "in DataLoader worker process"
AS_NAMED = "binsight.as_named"  # how stdout writes what is no text

app = typer.Typer(
    name="binsight",
    help="Sort garbage by sight: say what a photo of waste is made of.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"binsight {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    del version  # its callback has seen it
    if os.environ.get("NO_COLOR"):  # https://no-color.org
        context.color = False


app.command("classify")(classify.classify)
app.command("explain")(explain.explain)
app.command("correct")(correct.correct)
app.command("teach")(teach.teach)
app.command("app")(app_command.app)
app.command("serve", context_settings=serve.ENVIRONMENT)(serve.serve)
app.command("web")(web.web)
app.command("watch")(watch.watch)
app.add_typer(data.app, name="data")
app.command("train")(train.train)
app.command("distill")(distill.distill)
app.command("soup")(soup.soup)
app.command("refit")(refit.refit)
app.command("evaluate")(evaluate.evaluate)
app.command("export")(export.export)
app.command("verify")(verify.verify)
app.command("bench")(bench.bench)
app.command("info")(info.info)


def _said(error: Exception) -> str:
    """The message; of an error in a worker process, PyTorch makes it the end of a traceback."""
    text = str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    if IN_WORKER not in text:
        return text
    return text.rstrip().rpartition("\n")[2].partition(": ")[2] or text


def _as_named(error: UnicodeError) -> tuple[str | bytes, int]:
    """Write the bytes that a name was read from, and anything else in escapes."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.backslashreplace_errors(error)


def main() -> None:
    """Run the command line."""
    try:
        # A name of undecodable bytes must not end a list of others, and is given back as it is.
        codecs.register_error(AS_NAMED, _as_named)
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors=AS_NAMED)
        app(prog_name="binsight")
    except BrokenPipeError:
        # The reader (head, less) has seen enough; keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (BinsightError, OSError) as error:  # OSError: a full disk, a folder of others
        message = printable(" ".join(_said(error).split()))
        sys.stderr.write(f"binsight: {message}\n")
        sys.exit(2)
