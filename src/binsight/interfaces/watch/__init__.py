"""Watch a camera, a video or a folder, and answer when something new lies still in view."""
