"""Every error Vizinho raises on purpose.

::

    VizinhoError                 something to tell the user: what is wrong, and the way out
    ├── ImageError               one picture can't be used
    │   ├── NotAnImage           the bytes are of no format we read
    │   ├── UnreadableImage      a known format, but broken, cut short or empty
    │   └── ImageTooLarge        more pixels than the decoder may hold
    ├── SourceError              pictures can't be listed or fetched from where they are
    ├── DatasetError             no labelled pictures where they were looked for
    ├── DownloadError            a file could not be fetched, or its checksum is wrong
    ├── BundleError              a model bundle is missing, incomplete or damaged
    ├── NotExplainable           a match can't be taken apart: the network ends in another way
    ├── GalleryError             a gallery can't do what was asked
    │   ├── GalleryNotFound      no gallery at that path
    │   ├── GalleryExists        there is one already
    │   ├── GalleryBusy          another process is writing to it
    │   ├── GalleryUnreachable   the server that keeps it does not answer
    │   ├── GalleryDamaged       its files contradict each other
    │   ├── DiskFull             there is no room for what is to be written
    │   ├── NotWritable          this process may not write where it is to be written
    │   ├── FingerprintMismatch  its vectors were made by another model
    │   └── KeyNotFound          no picture of that key
    ├── ClusterError             the machines that should embed can't, or can't be reached
    ├── DeployError              a deployment can't be made, looked at or removed
    ├── SettingsError            an option or an environment variable makes no sense
    └── TrainingError            a training can't start or go on
        ├── TrainingCollapsed    the embeddings have shrunk to a point or a line
        ├── TrainingDiverged     the loss is not a number any more
        └── TrainingInterrupted  it was asked to stop, and can be gone on with

The core raises these; only the edges (``cli``, ``serve``, ``aws``) print or translate them.
"""


class VizinhoError(Exception):
    """Base of all errors meant for a person.

    ``message`` says which thing and what is wrong with it; ``hint`` (may be empty) says what to do.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class ImageError(VizinhoError):
    """One picture can't be used."""


class NotAnImage(ImageError):
    """The bytes are of no picture format we read."""


class UnreadableImage(ImageError):
    """A format we know, but the bytes are broken, cut short or empty."""


class ImageTooLarge(ImageError):
    """More pixels than the decoder may hold in memory."""


class SourceError(VizinhoError):
    """A folder, bucket or list of pictures can't be read at all: missing, refused, out of reach."""


class DatasetError(VizinhoError):
    """No labelled pictures where they were looked for."""


class DownloadError(VizinhoError):
    """A file could not be fetched, or what came has the wrong checksum."""


class BundleError(VizinhoError):
    """A model bundle is missing, incomplete or damaged."""


class NotExplainable(VizinhoError):
    """A match can't be split into shares of regions: the network does not end in global pooling and
    a linear layer, or the picture has changed since it was embedded."""


class GalleryError(VizinhoError):
    """A gallery can't do what was asked of it."""


class GalleryNotFound(GalleryError):
    """There is no gallery at that path."""


class GalleryExists(GalleryError):
    """There is a gallery at that path already."""


class GalleryBusy(GalleryError):
    """Another process is writing to the gallery."""


class GalleryUnreachable(GalleryError):
    """The server that keeps the gallery does not answer, or is not ready."""


class GalleryDamaged(GalleryError):
    """The gallery's files contradict each other."""


class DiskFull(GalleryError):
    """The disk has no room for what is to be written. Nothing is half-written."""


class NotWritable(GalleryError):
    """This process may not write there: by the owner's will, or because the disk is read-only."""


class FingerprintMismatch(GalleryError):
    """The gallery's vectors were made by another model than the one at hand."""


class KeyNotFound(GalleryError):
    """The gallery holds no picture of that key."""


class ClusterError(VizinhoError):
    """The machines of a Ray cluster can't be reached, or can't do the work."""


class DeployError(VizinhoError):
    """A deployment can't be made, looked at or removed."""


class SettingsError(VizinhoError):
    """An option or an environment variable makes no sense."""


class TrainingError(VizinhoError):
    """A training can't start or can't go on."""


class TrainingCollapsed(TrainingError):
    """The embeddings have shrunk to a point or a line; more epochs won't help."""


class TrainingDiverged(TrainingError):
    """The loss is infinite or not a number any more."""


class TrainingInterrupted(TrainingError):
    """The training was asked to stop; the same command goes on with it."""
