"""The classifier: photos in, predictions out. It never imports torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast, overload

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from PIL import Image

from binsight.bundle import INPUT, Metadata, digest_of, parse_metadata, read_verified
from binsight.cpus import available_cpus
from binsight.errors import AlteredBundleError, ImageError, NotABundleError, UsageError
from binsight.images import DEFAULT_LIMITS, ImageLimits, ImageSource
from binsight.preprocess import load

from .batches import answer_each
from .builtin import bundle_path
from .prediction import Prediction
from .providers import available_providers, check_started

if TYPE_CHECKING:
    from binsight.teaching import Lesson

__all__ = ["Classifier", "RawOutputs", "open_session"]

Floats = NDArray[np.float32]
# More is no faster on two cores, and takes memory: EfficientNet-B4 0.3 GB, with 8 photos 0.7 GB.
BATCH = 1


class RawOutputs(NamedTuple):
    """Everything that one run of the graph gives, as `bundle` describes it."""

    probs_nc: Floats
    embedding_nd: Floats
    feature_map_nkhw: Floats
    novelty_n: Floats | None = None


class Classifier:
    """Says what photos show.

    One instance may be used from several threads at once.

    Args:
        model: a bundle: a built-in one by its name (`BUILTIN`), or a path, as `bundle_path` says;
            ``None`` takes the first built-in one.
        threads: of ONNX Runtime; ``None`` uses the CPUs that this process may use.
        limits: what a single photo may cost.
        providers: of ONNX Runtime, by name (`providers.PROVIDERS`), the preferred one first; what
            it cannot compute goes to the next one, and at last to the CPU. ``None`` is the CPU
            alone.

    Raises:
        BundleError: no such bundle, or the file is no bundle, too new, or altered.
        UsageError: fewer than one thread, or a provider that this ONNX Runtime does not have.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        threads: int | None = None,
        limits: ImageLimits = DEFAULT_LIMITS,
        providers: Sequence[str] | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise UsageError(f"{threads} threads; give 1 or more")
        self.path = bundle_path(model)
        data = read_verified(self.path)
        self.digest = digest_of(data)
        named = available_providers(providers)
        self._session = open_session(self.path, data, threads or available_cpus(), named)
        custom = self._session.get_modelmeta().custom_metadata_map
        self.metadata: Metadata = parse_metadata(self.path, custom)
        self._limits = limits
        _check_signature(self.path, self._session, self.metadata)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.metadata.classes

    @overload
    def classify(self, photos: ImageSource) -> Prediction: ...  # type: ignore[overload-overlap]
    @overload
    def classify(self, photos: Sequence[ImageSource]) -> list[Prediction]: ...
    def classify(
        self, photos: ImageSource | Sequence[ImageSource]
    ) -> Prediction | list[Prediction]:
        """Classify one photo, or a list of them.

        Args:
            photos: path, encoded bytes, PIL image, uint8 array (H, W, 3) in RGB order, or a list
                or tuple of such.

        Raises:
            ImageError: a photo cannot be used. For many photos of which some may be broken, see
                `classify_each`.
        """
        if not isinstance(photos, list | tuple):
            return self.classify([cast("ImageSource", photos)])[0]
        answers = []
        for answer in self.classify_each(photos):
            if isinstance(answer, ImageError):
                raise answer
            answers.append(answer)
        return answers

    def classify_each(
        self, photos: Iterable[ImageSource], *, batch: int = BATCH
    ) -> Iterator[Prediction | ImageError]:
        """Classify any number of photos in constant memory; a broken one gives its error.

        Args:
            photos: as for `classify`; taken as they are needed.
            batch: photos in one run of the graph.

        Raises:
            UsageError: a batch of less than one photo; or no list, but a path, bytes or an image.
            NotABundleError: an answer is no number.
        """
        if batch < 1:
            raise UsageError(f"a batch of {batch} photos; give 1 or more")
        if isinstance(photos, str | bytes | bytearray | os.PathLike | Image.Image) or (
            isinstance(photos, np.ndarray) and photos.ndim < 4
        ):
            raise UsageError("this is one photo; give a list of photos, or use classify")
        yield from answer_each(photos, self._prepared, self._predictions, batch=batch)

    def teach(
        self,
        photos: Mapping[str, Sequence[ImageSource]],
        out: str | os.PathLike[str],
        *,
        rename: Mapping[str, str] | None = None,
        anyway: bool = False,
        catalog_digest: str | None = None,
        cache: Path | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Lesson:
        """Write a bundle that also knows these photos: the same network, its head learned anew.

        Three to ten photos of each class help; classes may be new. Needs no torch.

        Args:
            photos: class name to photos, as for `classify`.
            out: the new bundle; this classifier stays as it is.
            rename: old class name to new; two of the same new name become one class.
            anyway: write it even if it is worse than its parent.
            catalog_digest: of the photos (`data.catalog.Catalog.digest`), for the lineage.
            cache: folder that keeps embeddings between lessons.
            progress: called with (done, total) photos.

        Returns:
            What came of it: accuracy before and after, photos that are still wrong, warnings.

        Raises:
            TeachingError: no photos, or a renamed class that does not exist.
            WorseModelError: the new model is worse than its parent; nothing was written.
            ImageError: a photo cannot be used.
            BundleError: this bundle's head cannot be replaced.
        """
        from .teacher import teach  # needs onnx, which takes long to import

        return teach(
            self,
            photos,
            Path(out),
            rename=rename,
            anyway=anyway,
            catalog_digest=catalog_digest,
            cache=cache,
            progress=progress,
        )

    def run(self, images_nchw: Floats) -> RawOutputs:
        """Run the graph on preprocessed images: (N, 3, size, size), N of at least 1."""
        return RawOutputs(*self._session.run(self.metadata.outputs, {INPUT: images_nchw}))

    def data(self) -> bytes:
        """The bundle's bytes, read from its file once more.

        Raises:
            NotABundleError: the file is gone.
            AlteredBundleError: it was replaced since it was opened.
        """
        data = read_verified(self.path)
        if digest_of(data) != self.digest:
            raise AlteredBundleError(f"{self.path}: replaced since it was opened; open it again")
        return data

    def _prepared(self, photo: ImageSource) -> Floats:
        return load(photo, self.metadata.preprocess, limits=self._limits)

    def _predictions(self, images_nchw: Floats) -> Iterator[Prediction]:
        outputs = self.run(images_nchw)
        for number in range(len(images_nchw)):
            yield self._prediction(outputs, number)

    def _prediction(self, outputs: RawOutputs, number: int) -> Prediction:
        probs_c = outputs.probs_nc[number]
        if not np.isfinite(probs_c).all():
            raise NotABundleError(f"{self.path}: answers with what is no number; export it anew")
        best = int(probs_c.argmax())
        confidence = float(probs_c[best])
        novelty = None if outputs.novelty_n is None else float(outputs.novelty_n[number])
        limit = self.metadata.novelty.limit if self.metadata.novelty else np.inf
        # Written so that a novelty that is no number is strange.
        strange = novelty is not None and not novelty <= limit
        return Prediction(
            label=self.classes[best],
            confidence=confidence,
            sure=confidence >= self.metadata.threshold and not strange,
            probs=dict(zip(self.classes, map(float, probs_c), strict=True)),
            embedding=outputs.embedding_nd[number].copy(),  # a view would keep the batch alive
            novelty=novelty,
            strange=strange,
        )


def open_session(
    path: Path, data: bytes, threads: int, providers: Sequence[str]
) -> ort.InferenceSession:
    """A graph, ready to run.

    Args:
        path: for messages.
        data: the ONNX model.
        threads: of ONNX Runtime.
        providers: as `available_providers` gives them.

    Raises:
        NotABundleError: ONNX Runtime cannot load it.
        UsageError: a provider did not start.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Spinning threads would fight over a small machine with whatever decodes the next photos.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(data, options, providers=list(providers))
    # ONNX Runtime's exceptions share no public base class.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NotABundleError(f"{path}: ONNX Runtime cannot load it ({reason})") from error
    check_started(providers, session.get_providers())
    return session


def _check_signature(path: Path, session: ort.InferenceSession, metadata: Metadata) -> None:
    outputs = {output.name: output for output in session.get_outputs()}
    side = metadata.preprocess.size
    inputs = [(one.name, list(one.shape[1:])) for one in session.get_inputs()]
    names = metadata.outputs
    if inputs != [(INPUT, [3, side, side])] or not outputs.keys() >= set(names):
        raise NotABundleError(f"{path}: inputs or outputs are not those of a bundle")
    ranks = [len(outputs[name].shape) for name in names]
    tensors = (session.get_inputs()[0], *outputs.values())
    if ranks != [2, 2, 4, 1][: len(names)] or any(one.type != "tensor(float)" for one in tensors):
        raise NotABundleError(f"{path}: outputs do not have the shapes or types of a bundle")
    if any(isinstance(one.shape[0], int) for one in tensors):
        raise NotABundleError(f"{path}: takes only batches of one size; export it anew")
    width = outputs["probs"].shape[1]
    if width != len(metadata.classes):
        raise NotABundleError(f"{path}: {width} outputs, {len(metadata.classes)} classes")
