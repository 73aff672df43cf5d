// What the page may call and hear. The page imports the types of this, and nothing else.

import { type Controller, procedure } from "node-token-sockjs";
import { z } from "zod";
import { metrics } from "./metrics.js";
import { Notes } from "./notes.js";

export interface Visitor {
  readonly name: string;
}

export const notes = new Notes();

export const controller = {
  visitor: {
    me: (visitor: Visitor) => ({ name: visitor.name }),
  },
  metrics: procedure({
    input: z.object({ every: z.number().min(100).max(10_000) }),
    handler: ({ input, signal }) => metrics(input.every, signal),
  }),
  notes: {
    list: async () => notes.list(),
    add: procedure({
      input: z.object({ text: z.string().trim().min(1, "A note needs a text").max(80, "That is too long") }),
      handler: ({ input, auth }) => notes.add(input.text, auth.name),
    }),
    remove: procedure({
      input: z.object({ id: z.string() }),
      handler: ({ input }) => notes.remove(input.id),
    }),
  },
} satisfies Controller<Visitor>;

export const channels = {
  // `from` is the server's to say
  reactions: z.object({ emoji: z.enum(["👍", "🎉", "🔥", "☕"]), from: z.string().optional() }),
  notes: z.object({ count: z.number() }),
};
