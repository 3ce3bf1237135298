"""A run from beginning to end, or on from where an earlier one was interrupted."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress

from serving.batch import ending
from serving.batch.answers import Answers
from serving.batch.histories import Histories, whole_entities
from serving.batch.inputs import Batch, Inputs
from serving.batch.lines import Position, Source
from serving.batch.options import STANDARD_INPUT, Options
from serving.batch.part import Part
from serving.batch.partial import Partial, State, other_plan
from serving.batch.plan import appearance, opened, plan
from serving.batch.progress import Progress
from serving.errors import EpmError, InvalidInput
from serving.repository.served import ServedModel

CHUNKS = 16
"""In a part: what a run that was killed does again, at most."""
AGAIN = "start the same command again to go on"


class Run:
    """One process's part in a run. state: how far it is, None until that is known."""

    def __init__(self, options: Options, served: ServedModel) -> None:
        self._options, self._served = options, served
        self._answers = Answers(served)
        self._part: Part | None = None
        self.state: State | None = None

    def score(self) -> State:
        """Do all that is left to do. What is finished is kept when it fails. Raises EpmError, OSError."""
        with ExitStack() as stack:
            seen = appearance(self._options.file)
            source = opened(self._options, stack)
            try:
                self._inputs = Inputs(self._served.contract, source, self._options.layout)
            except InvalidInput as error:
                raise InvalidInput(f"{self._options.file}: {error.message}", field=error.field) from None
            if self._id(source) in self._answers.outline:
                raise InvalidInput.cell(self._id(source), "a column named as one of the answers", "another --id")
            self._histories = Histories(self._inputs, self._options.layout)
            state = State(plan(self._options, self._served, source, seen), source.position)
            partial = stack.enter_context(Partial(self._options.out))
            try:
                return self._go(partial, source, state)
            finally:
                self._leave(partial)

    def finished(self) -> str:
        """For who is told that it was interrupted."""
        rows = self.state.rows + self.state.rejected if self.state is not None else 0
        return f"{rows:,} rows are finished, {AGAIN}" if rows else "nothing is finished"

    def _go(self, partial: Partial, source: Source, fresh: State) -> State:
        options = self._options
        if options.restart:
            partial.clear()
        state = partial.load() or fresh
        if different := other_plan(state.plan, fresh.plan):
            raise EpmError(f"{options.out}: an interrupted run cannot go on: {different}. --restart begins anew")
        if state.rejected and not options.skip_bad:
            raise EpmError(f"{options.out}: an interrupted run began with --skip-bad: say so, or --restart")
        if not state.merged:
            ending.check_free(options)
            if state.parts:
                self._go_on(partial, source, state)
            self.state = state
            self._say()
            self._score(partial, source, state)
            if not state.plan["the input"].startswith(appearance(options.file)):
                raise EpmError(f"{options.file} was changed while it was read. --restart begins anew")
            ending.merge(options, partial, state, self._id(source), source.place, self._answers.outline)
        self.state = state
        ending.move(options, partial)
        return state

    def _go_on(self, partial: Partial, source: Source, state: State) -> None:
        if self._options.file == STANDARD_INPUT:
            raise EpmError(f"{self._options.out}: an interrupted run of standard input cannot go on: --restart")
        print(f"going on after {state.rows + state.rejected:,} rows", file=sys.stderr)
        source.go_to(state.position)
        for number in range(state.parts):
            self._histories.seen.restore(partial.hashes(number).read_bytes())

    def _id(self, source: Source) -> str:
        return self._options.layout.id or source.place

    def _say(self) -> None:
        inputs = self._inputs
        if inputs.ignored:
            print(f"columns that {self._served.name} does not take: {', '.join(inputs.ignored)}", file=sys.stderr)
        if inputs.not_sent:
            monthly = ", ".join(inputs.not_sent)
            print(f"monthly columns, not read because --month names no column: {monthly}", file=sys.stderr)

    def _score(self, partial: Partial, source: Source, state: State) -> None:
        done = state.rows + state.rejected
        progress = Progress(source.size, source.done, done)
        try:
            for batch, position in self._batches(source):
                if self._part is None:
                    kind, outline = self._options.out_format, self._answers.outline
                    self._part = Part(partial, state.parts, kind, self._id(source), outline)
                self._one(self._part, source, batch, position)
                done += len(batch)
                if self._part.done.chunks == CHUNKS:
                    self._close(partial, state, self._part)
                progress.show(done, source.done)
            if self._part is not None:
                self._close(partial, state, self._part)
        finally:
            progress.end()

    def _batches(self, source: Source) -> Iterator[tuple[Batch, Position]]:
        """Rows, and where reading goes on behind them."""
        most, layout = self._options.chunk_rows, self._options.layout
        while True:
            if layout.month:
                found = whole_entities(source, layout, most)
                if found is None:
                    return
                lines, begins = found
                batch = self._histories.read(lines, begins)
            else:
                lines = source.look(most)
                if lines is None:
                    return
                batch = self._inputs.read(lines)
            source.take(lines, len(lines))
            yield batch, source.position

    def _one(self, part: Part, source: Source, batch: Batch, position: Position) -> None:
        table = self._answers.answer(batch)
        if batch.wrong and not self._options.skip_bad:
            reason = batch.wrong[min(batch.wrong)]
            came = f"{reason.came} in {source.place} {reason.place}"
            error = InvalidInput.cell(reason.field or self._options.file, came, reason.expected)
            raise InvalidInput(f"{error.message} (--skip-bad goes on without such rows)", field=reason.field)
        ids = batch.ids
        if batch.wrong:
            ids = [id_ for row, id_ in enumerate(ids) if row not in batch.wrong]
        part.write(ids, table, [batch.wrong[row] for row in sorted(batch.wrong)], batch.hashes, position)

    def _close(self, partial: Partial, state: State, part: Part) -> None:
        """Count a part that is whole."""
        self._part = None
        part.close()
        state.position = part.done.position
        state.parts += 1
        state.rows += part.done.rows
        state.rejected += part.done.rejected
        partial.save(state)

    def _leave(self, partial: Partial) -> None:
        """Keep the whole chunks of a part that was begun; where nothing is finished, leave nothing behind."""
        state, part = self.state, self._part
        if not partial.folder.is_dir():
            return
        if state is not None and part is not None and part.whole:
            with suppress(OSError):
                self._close(partial, state, part)
        if not partial.has_state:
            partial.remove()
