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
