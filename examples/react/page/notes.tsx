import { type FormEvent, useState } from "react";
import type { Note } from "../notes.js";
import { useCall, useChannel, useResult } from "./hooks.js";

/** Notes that all visitors share: calls read and change them, and a channel says that they have changed. */
export function Notes() {
  const { data: notes, error, refetch } = useResult("notes.list");
  useChannel("notes", () => refetch());
  return (
    <section className="card notes" aria-labelledby="notes-title">
      <h2 id="notes-title">Notes</h2>
      <NewNote />
      {error && !notes && <p className="failed">{error.message}</p>}
      <ul>
        {notes?.map((note) => (
          <Item key={note.id} note={note} />
        ))}
      </ul>
      {notes?.length === 0 && <p className="quiet">There are no notes yet.</p>}
    </section>
  );
}

function NewNote() {
  const [text, setText] = useState("");
  const { call, error, isPending, reset } = useCall("notes.add");
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    try {
      await call({ text });
      setText("");
    } catch {
      // it is shown below
    }
  };
  return (
    <form onSubmit={submit}>
      <label htmlFor="text" className="visually-hidden">
        Note
      </label>
      <input
        id="text"
        value={text}
        autoComplete="off"
        placeholder="Write a note"
        aria-invalid={error !== undefined}
        aria-describedby="text-error"
        onChange={(event) => {
          setText(event.target.value);
          if (error) reset();
        }}
      />
      <button type="submit" className="primary" disabled={isPending}>
        {isPending ? "Adding…" : "Add"}
      </button>
      <p id="text-error" className="failed" role="alert">
        {error && explain(error)}
      </p>
    </form>
  );
}

function Item({ note }: { note: Note }) {
  const { call, error, isPending } = useCall("notes.remove");
  return (
    <li aria-busy={isPending}>
      <p>
        {note.text} <span className="quiet">by {note.author}</span>
      </p>
      {error && (
        <span className="failed" role="alert">
          {error.message}
        </span>
      )}
      <button
        type="button"
        disabled={isPending}
        aria-label={`Remove “${note.text}”`}
        onClick={() => call({ id: note.id })}
      >
        {isPending ? "Removing…" : "Remove"}
      </button>
    </li>
  );
}

/** What a schema has found comes as the error's `data`. */
function explain(error: Error): string {
  const { data } = error as { data?: { issues?: { message: string }[] } };
  return data?.issues?.[0]?.message ?? error.message;
}
