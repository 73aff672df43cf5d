/** How often the list is brought up to date when nobody comes or goes, in milliseconds. */
const INTERVAL = 5_000;

/** The channel on which browsers get the list whenever it changes. */
export const PEOPLE_CHANNEL = "people";

/** Who is online, on this process and, through the store, on the others. */
export class People {
  #tokenServer;
  #store;
  #timer;
  #published = "";
  #refresh = () => this.refresh();

  constructor(tokenServer, store) {
    this.#tokenServer = tokenServer;
    this.#store = store;
    tokenServer.on("authenticated", this.#refresh);
    tokenServer.on("disconnect", this.#refresh);
    this.#timer = setInterval(() => this.refresh().catch(console.error), INTERVAL);
  }

  /** Tells the store who is here, and the browsers who is online when that has changed. */
  async refresh() {
    const here = this.#tokenServer.sockets().flatMap(({ auth }) => auth?.name ?? []);
    const everywhere = await this.#store.sharePeople(here);
    const people = [...new Set(everywhere)].sort();
    if (people.join() !== this.#published) {
      this.#published = people.join();
      await this.#tokenServer.publish(PEOPLE_CHANNEL, people);
    }
    return people;
  }

  close() {
    clearInterval(this.#timer);
    this.#tokenServer.off("authenticated", this.#refresh);
    this.#tokenServer.off("disconnect", this.#refresh);
  }
}
