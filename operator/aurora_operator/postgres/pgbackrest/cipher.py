"""What pgBackRest encrypted for us: OpenSSL's salted AES-256-CBC, with a key that SHA-1 derives from the passphrase.

`repo-get` would want the passphrase of files outside its own folders as an argument or in the environment.
"""

from __future__ import annotations

from typing import Any, Final

from aurora_operator.postgres.errors import RepositoryError

_HEAD: Final = 16
_BLOCK: Final = 16


def stored_size(size: int, *, encrypted: bool) -> int:
    """The size of a file of `size` bytes in the repository. Pure."""
    return _HEAD + (size // _BLOCK + 1) * _BLOCK if encrypted else size


def decrypt(content: bytes, passphrase: str) -> bytes:
    """A whole file. Raises RepositoryError."""
    decryptor = Decryptor(passphrase)
    return decryptor.update(content) + decryptor.finish()


class Decryptor:
    """One file, piece by piece. Every call raises RepositoryError when the passphrase is not this one."""

    def __init__(self, passphrase: str) -> None:
        self._passphrase = passphrase.encode()
        self._head = b""
        self._cipher: Any = None
        self._unpadder: Any = None

    def update(self, piece: bytes) -> bytes:
        """What the next piece yields, which may be nothing."""
        if self._cipher is None:
            self._head += piece
            if len(self._head) < _HEAD:
                return b""
            piece, self._head = self._head[_HEAD:], self._head[:_HEAD]
            self._begin(self._head)
        return self._unpadder.update(self._cipher.update(piece))  # type: ignore[no-any-return]

    def finish(self) -> bytes:
        """The rest."""
        if self._cipher is None:
            raise _broken()
        try:
            return self._unpadder.update(self._cipher.finalize()) + self._unpadder.finalize()  # type: ignore[no-any-return]
        except ValueError as error:
            raise _broken() from error

    def _begin(self, head: bytes) -> None:
        # Six megabytes of every agent otherwise; few ever decrypt.
        from cryptography.hazmat.primitives import hashes, padding
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        if head[:8] != b"Salted__":
            raise _broken()
        derived, block = b"", b""
        while len(derived) < 48:
            digest = hashes.Hash(hashes.SHA1())  # noqa: S303  pgBackRest's own choice
            digest.update(block + self._passphrase + head[8:])
            block = digest.finalize()
            derived += block
        self._cipher = Cipher(algorithms.AES256(derived[:32]), modes.CBC(derived[32:48])).decryptor()
        self._unpadder = padding.PKCS7(128).unpadder()


def _broken() -> RepositoryError:
    return RepositoryError("passphrase", "what is stored there cannot be decrypted with this passphrase")
