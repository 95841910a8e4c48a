/** The camera: shows what it sees, and takes one picture. */

export class Camera {
  private stream: MediaStream | undefined;

  constructor(private readonly video: HTMLVideoElement) {}

  static get available(): boolean {
    return Boolean(navigator.mediaDevices?.getUserMedia);
  }

  /** Throws an error that says what to do if there is no camera or it may not be used. */
  async open(): Promise<void> {
    let stream: MediaStream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        audio: false,
        video: { facingMode: "environment", width: { ideal: 1280 }, height: { ideal: 960 } },
      });
    } catch (error) {
      throw new Error(reason(error), { cause: error });
    }
    this.close();
    this.stream = stream;
    this.video.srcObject = stream;
    await this.video.play();
  }

  take(): Promise<ImageBitmap> {
    return createImageBitmap(this.video);
  }

  close(): void {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = undefined;
    this.video.srcObject = null;
  }
}

function reason(error: unknown): string {
  const name = error instanceof DOMException ? error.name : "";
  if (name === "NotAllowedError") {
    return "The camera may not be used. Allow it in the browser's settings, or choose a photo.";
  }
  if (name === "NotFoundError" || name === "OverconstrainedError") {
    return "There is no camera here. Choose a photo instead.";
  }
  return "The camera cannot be used now. Close other programs that use it, or choose a photo.";
}
