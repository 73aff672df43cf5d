/** A text that nobody can guess, of digits and hyphens. */
export function randomText(): string {
  return crypto.getRandomValues(new Uint8Array(16)).join("-");
}
