import { expect } from "chai";
import {
  type NoPlace,
  PendingConnection,
  PendingConnections,
} from "../../lib/server/limits/pending-connections.js";

describe("the places of connections", () => {
  const LIMITS = {
    connectionsPerIp: Number.POSITIVE_INFINITY,
    unauthenticatedConnections: Number.POSITIVE_INFINITY,
    unauthenticatedConnectionsPerIp: Number.POSITIVE_INFINITY,
  };

  const open = (places: PendingConnections): PendingConnection => {
    const place = places.open("10.0.0.1");
    if (!(place instanceof PendingConnection)) throw new Error(place);
    return place;
  };

  /** Takes places until there are no more; gives how many there were. */
  const countFree = (places: PendingConnections): number => {
    let free = 0;
    // a bound that has gone is none at any number
    while (free < 10 && places.open("10.0.0.1") instanceof PendingConnection) free++;
    return free;
  };

  /** What may happen to a place, and how many of two are free after it. */
  const LIVES: readonly (readonly [what: string, live: (place: PendingConnection) => void])[] = [
    ["is left", (place) => place.leave()],
    [
      "is left twice",
      (place) => {
        place.leave();
        place.leave();
      },
    ],
    [
      "is left by one that has authenticated",
      (place) => {
        place.authenticated();
        place.leave();
      },
    ],
    [
      "is left by one that has authenticated twice",
      (place) => {
        place.authenticated();
        place.authenticated();
        place.leave();
      },
    ],
    [
      "is left by one that authenticates too late",
      (place) => {
        place.leave();
        place.authenticated();
        place.leave();
      },
    ],
  ];

  const FULL: Readonly<Record<keyof typeof LIMITS, NoPlace>> = {
    connectionsPerIp: "address full",
    unauthenticatedConnections: "server full",
    unauthenticatedConnectionsPerIp: "address full",
  };
  for (const [limit, refusal] of Object.entries(FULL)) {
    for (const [what, live] of LIVES) {
      it(`are as many as ${limit} says after one ${what}`, () => {
        const places = new PendingConnections({ ...LIMITS, [limit]: 2 });
        for (let round = 0; round < 5; round++) live(open(places));
        const other = open(places);
        expect(countFree(places)).to.equal(1);
        expect(places.open("10.0.0.1")).to.equal(refusal);
        other.leave();
        expect(countFree(places)).to.equal(1);
      });
    }
  }

  it("are shared by no address where connections have none", () => {
    const places = new PendingConnections({ ...LIMITS, unauthenticatedConnectionsPerIp: 1 });
    for (let i = 0; i < 3; i++) expect(places.open("")).to.be.instanceOf(PendingConnection);
    expect(places.open("10.0.0.1")).to.be.instanceOf(PendingConnection);
    expect(places.open("10.0.0.1")).to.equal("address full");
    const all = new PendingConnections({ ...LIMITS, connectionsPerIp: 1 });
    expect(all.open("")).to.be.instanceOf(PendingConnection);
    expect(all.open("")).to.equal("address full");
  });

  it("are free for another stranger as soon as one has authenticated, and the address keeps its own", () => {
    const strangers = new PendingConnections({ ...LIMITS, unauthenticatedConnections: 1 });
    open(strangers).authenticated();
    expect(countFree(strangers)).to.equal(1);
    const address = new PendingConnections({ ...LIMITS, connectionsPerIp: 1 });
    open(address).authenticated();
    expect(countFree(address)).to.equal(0);
  });
});
