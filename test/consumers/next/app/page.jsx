import { Sum } from "./sum.jsx";

/** A server component. */
export default function Page() {
  return <Sum />;
}
