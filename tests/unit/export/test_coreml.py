"""A small network as Core ML: what can be read back where nothing can be run."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from small_bundle import CLASSES, SIZE, squares
from small_network import write_convolving_bundle

coremltools = pytest.importorskip("coremltools")

from binsight import Classifier  # noqa: E402
from binsight.errors import UsageError  # noqa: E402
from binsight.export.formats import FORMATS, Request, Source, open_exported  # noqa: E402
from binsight.export.formats import write_exported as write  # noqa: E402
from binsight.export.shown import Shown  # noqa: E402


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_package_says_what_it_takes_and_gives(tmp_path: Path, precision: str) -> None:
    bundle = write_convolving_bundle(tmp_path / "a.onnx")
    squares(1)[0].save(tmp_path / "photo.png")
    shown = Shown((tmp_path / "photo.png",), np.array([-1]))
    out = tmp_path / "a.mlpackage"
    request = Request(precision=precision, photos=shown)  # type: ignore[arg-type]
    described = write(FORMATS["coreml"], Source(Classifier(bundle)), out, request)
    spec = coremltools.models.MLModel(str(out), skip_model_load=True).get_spec()
    (taken,) = spec.description.input
    assert (taken.name, list(taken.type.multiArrayType.shape)) == ("images", [1, 3, SIZE, SIZE])
    assert {one.name for one in spec.description.output} == {"probs", "embedding"}
    custom = spec.description.metadata.userDefined
    assert custom["classes"] == ",".join(CLASSES)
    kinds = {
        output.type.tensorType.dataType
        for function in spec.mlProgram.functions.values()
        for block in function.block_specializations.values()
        for operation in block.operations
        if operation.type == "conv"
        for output in operation.outputs
    }
    half, full = 10, 11  # FLOAT16 and FLOAT32 of MIL.proto
    assert kinds == {half if precision == "fp16" else full}
    if sys.platform != "darwin":
        assert described.parity is None
        with pytest.raises(UsageError, match="runs on darwin alone"):
            open_exported(out).open()
