import sinon from "sinon";

/** Stops all clocks that the library looks at; its promises go on. The test restores them. */
export const stopClock = () =>
  sinon.useFakeTimers({ now: 1_000_000, toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
