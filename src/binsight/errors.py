"""Every error a user can meet, as one tree.

    BinsightError
    ├── MissingExtraError        an optional dependency is not installed
    ├── UsageError               options that do not go together, folders that are in the way
    ├── ImageError               one photo cannot be used; the others still can
    │   ├── UnreadableImageError     not an image, empty, truncated, hostile
    │   ├── ImageTooLargeError       more bytes or pixels than allowed
    │   └── ImageMemoryError         not enough memory for it now
    ├── BundleError              a model file cannot be used
    │   ├── NotABundleError          some other file
    │   ├── BundleTooNewError        written by a later binsight
    │   ├── AlteredBundleError       its content is not what was written
    │   └── UnexplainableError       its answers cannot be traced back to places in a photo
    ├── BinsError                a bins.toml cannot be used, or lacks a bin for a class
    ├── DataError                a data set cannot be used
    │   ├── CatalogError             no photos, no classes, a broken list of them
    │   ├── SplitError               a split that does not fit its catalog
    │   ├── DownloadError            a transfer that failed or did not match its checksum
    │   ├── CorrectionError          a correction that cannot be kept, or fits no photo
    │   └── MappingError             class names of another data set that mean nothing here
    ├── TeachingError            photos that a model cannot learn from
    │   └── WorseModelError          a lesson that would make it worse
    ├── TrainingError            a model cannot be trained, evaluated or exported
    │   ├── RecipeError              unknown keys or values out of range
    │   ├── WeightsError             pretrained weights missing or of another network
    │   ├── RunError                 a run folder that is incomplete or of another kind
    │   ├── ParityError              an export that does not answer like its checkpoint
    │   └── ConversionError          another project's converter failed, or lacks what it needs
    └── WatchError               nothing can be watched, or nobody told of it
        ├── SourceError              no such camera, stream, video or folder
        └── SpoolError               events cannot be kept until they are delivered

The message of each says what to do next; the command line prints it as one line.
"""

from __future__ import annotations

__all__ = [
    "AlteredBundleError",
    "BinsError",
    "BinsightError",
    "BundleError",
    "BundleTooNewError",
    "CatalogError",
    "ConversionError",
    "CorrectionError",
    "DataError",
    "DownloadError",
    "ImageError",
    "ImageMemoryError",
    "ImageTooLargeError",
    "MappingError",
    "MissingExtraError",
    "NotABundleError",
    "ParityError",
    "RecipeError",
    "RunError",
    "SourceError",
    "SplitError",
    "SpoolError",
    "TeachingError",
    "TrainingError",
    "UnexplainableError",
    "UnreadableImageError",
    "UsageError",
    "WatchError",
    "WeightsError",
    "WorseModelError",
]


class BinsightError(Exception):
    """Base of every error that binsight raises on purpose."""


class MissingExtraError(BinsightError, ImportError):
    """An optional dependency is not installed.

    Args:
        package: the distribution that is missing, e.g. ``"torch"``.
        extra: the extra of binsight that brings it, e.g. ``"train"``.
    """

    def __init__(self, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(
            f"{package} is not installed; run in binsight's sources: pip install '.[{extra}]'"
        )


class UsageError(BinsightError, ValueError):
    """Options that do not go together, or an output that is in the way."""


class ImageError(BinsightError, ValueError):
    """One photo cannot be used.

    Args:
        reason: why, without the photo's name.
        name: what the photo is called, if anything.
    """

    def __init__(self, reason: str, name: str = "") -> None:
        super().__init__(reason, name)
        self.reason = reason
        self.name = name

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}" if self.name else self.reason


class UnreadableImageError(ImageError):
    """Not an image, empty, truncated, or in a form that is refused."""


class ImageTooLargeError(ImageError):
    """More bytes or pixels than the limits allow."""


class ImageMemoryError(ImageError, MemoryError):
    """There is not enough memory for the photo now."""


class BundleError(BinsightError, ValueError):
    """A model file cannot be used."""


class NotABundleError(BundleError):
    """The file is not a binsight bundle."""


class BundleTooNewError(BundleError):
    """The bundle's format is newer than this binsight reads."""


class AlteredBundleError(BundleError):
    """The bundle's content is not what was written."""


class UnexplainableError(BundleError):
    """The bundle's answers cannot be traced back to places in a photo."""


class BinsError(BinsightError, ValueError):
    """A ``bins.toml`` cannot be used, or has no bin for a class of the model."""


class DataError(BinsightError, ValueError):
    """A data set cannot be used."""


class CatalogError(DataError):
    """No photos, no classes, or a broken catalog file."""


class SplitError(DataError):
    """A split that does not fit its catalog."""


class DownloadError(DataError):
    """A transfer that failed or did not match its checksum."""


class CorrectionError(DataError):
    """A correction that cannot be kept: it names no folder, no class, or no photo that is there."""


class MappingError(DataError):
    """Class names of another data set that are mapped to nothing, or to what is not there."""


class TeachingError(BinsightError, ValueError):
    """Photos that a model cannot learn from."""


class WorseModelError(TeachingError):
    """A lesson that would make a model worse.

    Args:
        message: what got worse.
        lesson: the `binsight.teaching.Lesson`, to show what happened.
    """

    def __init__(self, message: str, lesson: object) -> None:
        self.lesson = lesson
        super().__init__(message)


class TrainingError(BinsightError, ValueError):
    """A model cannot be trained, evaluated or exported."""


class RecipeError(TrainingError):
    """Unknown keys in a recipe, or values out of range."""


class WeightsError(TrainingError):
    """Pretrained weights that are missing or belong to another network."""


class RunError(TrainingError):
    """A run folder that is incomplete or of another kind."""


class ParityError(TrainingError):
    """An exported model that does not answer like its checkpoint."""


class ConversionError(TrainingError):
    """Another project's converter failed, or lacks what it needs, such as a GPU."""


class WatchError(BinsightError):
    """Nothing can be watched, or nobody told of it."""


class SourceError(WatchError):
    """A camera, stream, video or folder that is not there or cannot be read."""


class SpoolError(WatchError):
    """Events cannot be kept until they are delivered."""
