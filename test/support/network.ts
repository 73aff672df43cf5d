import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";
import { findIp, mayMakeNetworks } from "../../scripts/test-requirements.mjs";

const run = promisify(execFile);

/** What is found by name here need not be on the path. */
const ENVIRONMENT = { ...process.env, IP: findIp() };

/**
 * What networks need, tried out in a namespace that is gone at once: a pair of interfaces, a rule that loses packets
 * without a word, and the right to pass packets on.
 */
const TRIAL = `
  $IP link add name trial-a type veth peer name trial-b
  $IP rule add from 192.0.2.1 to 192.0.2.2 blackhole
  echo 1 > /proc/sys/net/ipv4/ip_forward
`;

/** Why this machine can make no networks of its own; undefined where it can. */
export const whyNoNetworks = findObstacle();

/** Joins two namespaces by a pair of interfaces, the host's and the router's, of a network of its own. */
const JOIN = `
  router=$1; host=$2; number=$3
  nsenter --net=$router $IP link add name port$number type veth peer name eth0 netns $host
  nsenter --net=$router $IP address add 198.18.$number.1/24 dev port$number
  nsenter --net=$router $IP link set port$number up
  nsenter --net=$host $IP link set lo up
  nsenter --net=$host $IP address add 198.18.$number.2/24 dev eth0
  nsenter --net=$host $IP link set eth0 up
  nsenter --net=$host $IP route add default via 198.18.$number.1
`;

const SET = `echo "$2" > /proc/sys/net/$1`;

/** A computer in a network: processes that are started by its command have its address and no other. */
export interface Host {
  readonly name: string;
  readonly address: string;
  /** What has to stand before a command so that it runs there. */
  readonly prefix: readonly string[];
}

/**
 * Hosts that are joined by a router, apart from the network of this machine. The namespaces have no names: each lives as
 * long as a process in it, and the process that holds it ends with that of the tests, in whatever way that ends. So
 * nothing can be left over, and runs beside each other do not meet.
 *
 * The addresses are of the block for tests of networks, 198.18.0.0/15 (RFC 2544).
 */
export class Network {
  readonly #router: Namespace;
  readonly #namespaces: Namespace[];
  readonly #hosts = new Map<string, Host>();

  static async create(...names: string[]): Promise<Network> {
    const namespaces = await Promise.all(["", ...names].map(() => Namespace.create()));
    const [router, ...others] = namespaces;
    if (!router) throw new Error("There is a router");
    const network = new Network(router, namespaces);
    try {
      await router.shell("echo 1 > /proc/sys/net/ipv4/ip_forward");
      await Promise.all(
        others.map((namespace, index) =>
          run("sh", ["-ec", JOIN, "sh", router.path, namespace.path, String(index)], { env: ENVIRONMENT }),
        ),
      );
    } catch (error) {
      await network.remove();
      throw error;
    }
    for (const [index, namespace] of others.entries()) {
      const name = names[index] ?? "";
      network.#hosts.set(name, { name, address: `198.18.${index}.2`, prefix: namespace.prefix });
    }
    return network;
  }

  private constructor(router: Namespace, namespaces: Namespace[]) {
    this.#router = router;
    this.#namespaces = namespaces;
  }

  host(name: string): Host {
    const host = this.#hosts.get(name);
    if (!host) throw new Error(`There is no host ${name}`);
    return host;
  }

  /** Loses all packets between two hosts from now on: neither is told, and what is open stays open. */
  async cut(one: Host, other: Host): Promise<void> {
    await this.#rule("add", one, other);
  }

  /** Lets them pass again. */
  async mend(one: Host, other: Host): Promise<void> {
    await this.#rule("del", one, other);
  }

  /** Sets what the kernel of a host does in its network, by a name such as "ipv4.tcp_orphan_retries". */
  async configure({ prefix: [program = "", ...args] }: Host, name: string, value: number): Promise<void> {
    await run(program, [...args, "sh", "-ec", SET, "sh", name.replaceAll(".", "/"), String(value)]);
  }

  /** Removes it all; processes that still run there lose their network. */
  async remove(): Promise<void> {
    await Promise.all(this.#namespaces.map((namespace) => namespace.remove()));
  }

  async #rule(action: "add" | "del", { address: one }: Host, { address: other }: Host): Promise<void> {
    await this.#router.shell(
      `$IP rule ${action} from ${one} to ${other} blackhole; $IP rule ${action} from ${other} to ${one} blackhole`,
    );
  }
}

/** A network of its own, which lasts until the standard input of the process that holds it ends. */
class Namespace {
  readonly #holder: ChildProcess;

  static async create(): Promise<Namespace> {
    const holder = spawn("unshare", ["--net", "sh", "-c", "echo; exec cat"], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    await Promise.race([
      once(holder.stdout, "data"),
      once(holder, "close").then(([code]) => {
        throw new Error(`unshare has ended with ${code}`);
      }),
    ]);
    return new Namespace(holder);
  }

  private constructor(holder: ChildProcess) {
    this.#holder = holder;
  }

  get path(): string {
    return `/proc/${this.#holder.pid}/ns/net`;
  }

  get prefix(): string[] {
    return ["nsenter", `--net=${this.path}`];
  }

  async shell(script: string): Promise<void> {
    await run("nsenter", [`--net=${this.path}`, "sh", "-ec", script], { env: ENVIRONMENT });
  }

  async remove(): Promise<void> {
    const gone = once(this.#holder, "close");
    this.#holder.stdin?.end();
    await gone;
  }
}

function findObstacle(): string | undefined {
  if (!mayMakeNetworks()) return "that takes Linux, and root";
  if (!findIp()) return "that takes ip, of iproute2";
  const { status, error, stderr } = spawnSync("unshare", ["--net", "sh", "-ec", TRIAL], {
    encoding: "utf8",
    env: ENVIRONMENT,
  });
  if (status === 0) return undefined;
  return (error?.message ?? stderr.trim().split("\n")[0]) || `the trial has ended with ${status}`;
}
