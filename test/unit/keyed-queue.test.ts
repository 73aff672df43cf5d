import { expect } from "chai";
import fc from "fast-check";
import { KeyedQueue } from "../../lib/server/channels/keyed-queue.js";

/** Lets every promise that is settled already run its handlers. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Tasks that end when the test says so, and a record of what has happened. */
class Tasks {
  readonly record: string[] = [];
  readonly #ends = new Map<string, () => void>();

  get running(): string[] {
    return [...this.#ends.keys()];
  }

  /** A task that takes time. */
  slow(name: string): () => Promise<void> {
    return () => {
      this.record.push(`${name} begins`);
      return new Promise((resolve) => {
        this.#ends.set(name, () => {
          this.#ends.delete(name);
          this.record.push(`${name} ends`);
          resolve();
        });
      });
    };
  }

  /** A task that is done when it returns. */
  quick(name: string): () => void {
    return () => {
      this.record.push(name);
    };
  }

  async end(name: string): Promise<void> {
    const end = this.#ends.get(name);
    if (!end) throw new Error(`${name} does not run`);
    end();
    await turn();
  }
}

describe("KeyedQueue", () => {
  let queue: KeyedQueue;
  let tasks: Tasks;

  beforeEach(() => {
    queue = new KeyedQueue();
    tasks = new Tasks();
  });

  it("runs a task at once that nothing is waiting for", () => {
    queue.run("a", tasks.quick("1"));
    queue.runAll(tasks.quick("2"));
    queue.run("a", tasks.slow("3"));
    queue.run("b", tasks.quick("4"));
    expect(tasks.record).to.deep.equal(["1", "2", "3 begins", "4"]);
  });

  it("runs the tasks of one key one after the other", async () => {
    queue.run("a", tasks.slow("1"));
    queue.run("a", tasks.slow("2"));
    queue.run("a", tasks.quick("3"));
    await turn();
    expect(tasks.record).to.deep.equal(["1 begins"]);
    await tasks.end("1");
    expect(tasks.record.slice(1)).to.deep.equal(["1 ends", "2 begins"]);
    await tasks.end("2");
    expect(tasks.record.slice(3)).to.deep.equal(["2 ends", "3"]);
  });

  it("lets no key wait for another", async () => {
    queue.run("a", tasks.slow("a1"));
    queue.run("b", tasks.slow("b1"));
    queue.run("b", tasks.slow("b2"));
    await tasks.end("b1");
    expect(tasks.running).to.deep.equal(["a1", "b2"]);
  });

  it("runs a task for all keys between those before and those after it", async () => {
    queue.run("a", tasks.slow("a1"));
    queue.run("b", tasks.slow("b1"));
    queue.runAll(tasks.slow("all"));
    queue.run("a", tasks.slow("a2"));
    queue.run("c", tasks.slow("c1"));
    await tasks.end("a1");
    expect(tasks.running).to.deep.equal(["b1"]);
    await tasks.end("b1");
    expect(tasks.running).to.deep.equal(["all"]);
    await tasks.end("all");
    expect(tasks.running).to.deep.equal(["a2", "c1"]);
  });

  it("runs tasks for all keys in order", async () => {
    queue.runAll(tasks.slow("1"));
    queue.runAll(tasks.slow("2"));
    queue.runAll(tasks.quick("3"));
    await tasks.end("1");
    expect(tasks.record).to.deep.equal(["1 begins", "1 ends", "2 begins"]);
    await tasks.end("2");
    expect(tasks.record.slice(3)).to.deep.equal(["2 ends", "3"]);
  });

  it("counts the tasks that are not done", async () => {
    queue.run("a", tasks.quick("0"));
    expect(queue.waiting).to.equal(0);
    queue.run("a", tasks.slow("1"));
    queue.run("a", tasks.quick("2"));
    queue.run("b", tasks.slow("3"));
    queue.runAll(tasks.slow("4"));
    expect(queue.waiting).to.equal(4);
    await tasks.end("1");
    expect(queue.waiting).to.equal(2);
    await tasks.end("3");
    await tasks.end("4");
    expect(queue.waiting).to.equal(0);
  });

  it("runs a task at once again when those before it are done", async () => {
    queue.run("a", tasks.slow("1"));
    queue.runAll(tasks.slow("2"));
    await tasks.end("1");
    await tasks.end("2");
    queue.run("a", tasks.quick("3"));
    queue.runAll(tasks.quick("4"));
    expect(tasks.record.slice(-2)).to.deep.equal(["3", "4"]);
  });

  it("keeps the order of each key and of the tasks for all, in whatever order the tasks end", async () => {
    const given = fc.array(
      fc.record({
        key: fc.constantFrom("a", "b", "c", undefined),
        slow: fc.boolean(),
        endOneFirst: fc.boolean(),
      }),
      { maxLength: 20 },
    );
    await fc.assert(
      fc.asyncProperty(given, fc.array(fc.nat(), { minLength: 1 }), async (entries, choices) => {
        const own = new KeyedQueue();
        const ends: (() => void)[] = [];
        /** Which tasks were done when each task began. */
        const doneBefore = new Map<number, Set<number>>();
        const done = new Set<number>();
        let choice = 0;
        const endOne = async () => {
          const pick = (choices[choice++ % choices.length] ?? 0) % Math.max(1, ends.length);
          const [end] = ends.splice(pick, 1);
          end?.();
          await turn();
        };
        for (const [index, { key, slow, endOneFirst }] of entries.entries()) {
          if (endOneFirst) await endOne();
          const task = () => {
            doneBefore.set(index, new Set(done));
            if (!slow) {
              done.add(index);
              return undefined;
            }
            return new Promise<void>((resolve) => {
              ends.push(() => {
                done.add(index);
                resolve();
              });
            });
          };
          if (key === undefined) own.runAll(task);
          else own.run(key, task);
        }
        while (ends.length > 0) await endOne();
        expect(done.size).to.equal(entries.length);
        expect(own.waiting).to.equal(0);
        for (const [index, { key }] of entries.entries()) {
          for (const [earlier, { key: earlierKey }] of entries.slice(0, index).entries()) {
            if (key !== undefined && earlierKey !== undefined && key !== earlierKey) continue;
            expect(doneBefore.get(index)?.has(earlier), `task ${index} after task ${earlier}`).to.equal(true);
          }
        }
      }),
      { numRuns: 150 },
    );
  });
});
