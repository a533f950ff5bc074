"""Open what lets a prediction be sent again: claims on keys, and the answers that were kept."""

from contextlib import AsyncExitStack

from gateway.data_folder import JOURNALS, PRIVATE_FOLDER
from gateway.dataplane.idempotency import Idempotency
from gateway.dataplane.key_queue import KeyQueue
from gateway.dataplane.prediction import PredictionPath
from gateway.settings import Settings
from gateway.usage.answer_reader import AnswerReader
from gateway.usage.claims import Claims
from gateway.usage.journal import Journal


def open_claims(settings: Settings, stack: AsyncExitStack) -> Claims:
    """Open the claims in the folder of the journals, which is made if it is missing.

    Open them before the journal, so that they close after it: a journal that nobody claims to have
    open is taken for a dead worker's.
    """
    folder = settings.data_dir / JOURNALS
    folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    claims = Claims(folder)
    stack.callback(claims.close)
    return claims


def open_idempotency(
    settings: Settings,
    path: PredictionPath,
    journal: Journal,
    *,
    claims: Claims,
    stack: AsyncExitStack,
) -> Idempotency:
    """Let requests with a key run once, in whichever worker of the data folder."""
    reader = AnswerReader(journal.path, claims)
    stack.push_async_callback(reader.close)
    idempotency = Idempotency(
        path,
        journal,
        queue=KeyQueue(claims),
        reader=reader,
        max_answer_bytes=settings.idempotency_answer_max_bytes,
    )
    stack.push_async_callback(idempotency.close)
    return idempotency
