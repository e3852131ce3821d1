"""Answers of threads reach the coroutines that wait for them: values, errors and cancellation."""

import asyncio
import threading
from concurrent.futures import Future
from typing import Any

import pytest

from throughtime.serve.answers import Answers


def test_every_answer_of_several_threads_arrives() -> None:
    async def main() -> list[Any]:
        answers = Answers()
        futures: list[Future[int]] = [Future() for _ in range(2000)]
        waiting = [answers.of(future) for future in futures]

        def answer(part: int) -> None:
            for number in range(part, 2000, 4):
                futures[number].set_result(number)

        threads = [threading.Thread(target=answer, args=(part,)) for part in range(4)]
        for thread in threads:
            thread.start()
        return await asyncio.wait_for(asyncio.gather(*waiting), 30)

    assert asyncio.run(main()) == list(range(2000))


def test_the_answers_of_a_batch_wake_the_loop_once() -> None:
    async def main() -> int:
        answers, futures = Answers(), [Future[int]() for _ in range(100)]
        waiting = [answers.of(future) for future in futures]
        loop, woken = asyncio.get_running_loop(), 0
        call = loop.call_soon_threadsafe

        def counted(*arguments: Any) -> Any:
            nonlocal woken
            woken += 1
            return call(*arguments)

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign]
        for future in futures:
            future.set_result(1)
        await asyncio.gather(*waiting)
        return woken

    assert asyncio.run(main()) == 1


def test_errors_and_cancellation() -> None:
    async def main() -> None:
        answers = Answers()
        failed, gone, late = Future[int](), Future[int](), Future[int]()
        error = answers.of(failed)
        failed.set_exception(ValueError("no"))
        with pytest.raises(ValueError, match="no"):
            await error
        answers.of(gone).cancel()
        cancelled = answers.of(late)
        assert late.set_running_or_notify_cancel()
        cancelled.cancel()
        await asyncio.sleep(0)
        assert gone.cancelled()
        assert not late.cancelled()
        late.set_result(1)  # of a request whose client has gone meanwhile
        await asyncio.sleep(0.01)

    asyncio.run(main())
