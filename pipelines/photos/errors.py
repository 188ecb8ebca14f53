"""How a photo fails."""


class PhotoError(Exception):
    """A photo that cannot be enhanced.

    Attributes:
        stage: read, decode, unsupported, too_large, encode or write.
        message: One line for people.
    """

    def __init__(self, stage: str, message: str):
        super().__init__(stage, message)
        self.stage = stage
        self.message = " ".join(message.split())

    def __str__(self) -> str:
        return f"{self.stage}: {self.message}"
