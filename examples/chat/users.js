/** Who may log in. A real application has passwords, and asks its database. */
const USERS = new Map(
  [
    { name: "alice", role: "admin" },
    { name: "bob", role: "staff" },
    { name: "carol", role: "guest" },
    { name: "dave", role: "guest" },
  ].map((user) => [user.name, user]),
);

export function findUser(name) {
  return USERS.get(name);
}

export function listUsers() {
  return [...USERS.values()];
}

/** What users may tell of themselves. A schema by hand; with zod it is `z.object({ typing: z.boolean() })`. */
export const userState = {
  "~standard": {
    version: 1,
    vendor: "chat",
    validate(state) {
      if (typeof state?.typing !== "boolean") return { issues: [{ message: "typing has to be a boolean" }] };
      return { value: { typing: state.typing } };
    },
  },
};
