import { run, runNow } from "./commands.ts";
import { PREFIX } from "./leftovers.ts";
import { dropping } from "./packet-filter.ts";

const SUBNET = "10.77.0";

/** One host's place in the network. */
interface Place {
  readonly namespace: string;
  address: string;
  /** Hosts that no packet of this one reaches. */
  readonly cutFrom: Set<number>;
}

let networks = 0;

/**
 * Hosts as network namespaces around one bridge, which lives in a namespace of its own: nothing of it is seen by, or
 * reaches, the machine itself. Host 7 has the address 10.77.0.7 until it is moved.
 */
export class Network implements AsyncDisposable {
  readonly #name = `${PREFIX}${process.pid}-${(networks += 1)}`;
  readonly #places = new Map<number, Place>();
  #loss = 0;

  get #bridge(): string {
    return `${this.#name}-bridge`;
  }

  async start(): Promise<void> {
    await run("ip", "netns", "add", this.#bridge);
    await this.#ip(this.#bridge, "link add bridge0 type bridge");
    await this.#ip(this.#bridge, "link set bridge0 up");
  }

  /** Plugs a new host in. */
  async addHost(host: number): Promise<void> {
    const place = {
      namespace: `${this.#name}-${host}`,
      address: `${SUBNET}.${host}`,
      cutFrom: new Set<number>(),
    };
    await run("ip", "netns", "add", place.namespace);
    this.#places.set(host, place);
    await this.#ip(place.namespace, "link set lo up");
    await this.#ip(this.#bridge, `link add ${port(host)} type veth peer name eth0 netns ${place.namespace}`);
    await this.#ip(this.#bridge, `link set ${port(host)} master bridge0 up`);
    await this.#ip(place.namespace, `address add ${place.address}/24 dev eth0`);
    await this.#ip(place.namespace, "link set eth0 up");
    await run("tc", "-n", this.#bridge, "qdisc", "add", "dev", port(host), "clsact");
    await this.#filter(host);
  }

  addressOf(host: number): string {
    return this.#at(host).address;
  }

  /** What makes a command run on that host. */
  onHost(host: number): string[] {
    return ["ip", "netns", "exec", this.#at(host).namespace];
  }

  /** Pulls the cable: both ends lose their carrier. */
  async unplug(host: number): Promise<void> {
    await this.#ip(this.#bridge, `link set ${port(host)} down`);
  }

  async plug(host: number): Promise<void> {
    await this.#ip(this.#bridge, `link set ${port(host)} up`);
  }

  /** Nothing that any of `from` sends reaches any of `to`; the other direction works on. */
  async cutOneWay(from: readonly number[], to: readonly number[]): Promise<void> {
    for (const host of from) {
      for (const other of to) this.#at(host).cutFrom.add(other);
    }
    await Promise.all(from.map((host) => this.#filter(host)));
  }

  /** Nothing passes between the two sides. */
  async cut(one: readonly number[], other: readonly number[]): Promise<void> {
    await this.cutOneWay(one, other);
    await this.cutOneWay(other, one);
  }

  /** This share (0 to 1) of all packets is lost, on every path, each direction by itself. */
  async lose(share: number): Promise<void> {
    this.#loss = share;
    await Promise.all([...this.#places.keys()].map((host) => this.#filter(host)));
  }

  /** All paths work again. */
  async heal(): Promise<void> {
    for (const { cutFrom } of this.#places.values()) cutFrom.clear();
    await this.lose(0);
    await Promise.all([...this.#places.keys()].map((host) => this.plug(host)));
  }

  /** Gives the host another address in place of the one that it has. */
  async move(host: number, last: number): Promise<void> {
    const place = this.#at(host);
    await this.#ip(place.namespace, `address del ${place.address}/24 dev eth0`);
    place.address = `${SUBNET}.${last}`;
    await this.#ip(place.namespace, `address add ${place.address}/24 dev eth0`);
    await Promise.all([...this.#places.keys()].map((other) => this.#filter(other)));
  }

  /** Processes on the hosts must have ended. Pairs of interfaces go with their namespaces. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { namespace } of this.#places.values()) runNow("ip", "netns", "delete", namespace);
    runNow("ip", "netns", "delete", this.#bridge);
  }

  #at(host: number): Place {
    const place = this.#places.get(host);
    if (place === undefined) throw new Error(`no host ${host}`);
    return place;
  }

  async #filter(host: number): Promise<void> {
    const unreachable = [...this.#at(host).cutFrom].map((other) => this.addressOf(other));
    const rule = `filter replace dev ${port(host)} ingress prio 1 handle 1 bpf direct-action bytecode`;
    await run("tc", "-n", this.#bridge, ...rule.split(" "), dropping(unreachable, this.#loss));
  }

  async #ip(namespace: string, command: string): Promise<void> {
    await run("ip", "-n", namespace, ...command.split(" "));
  }
}

/** The bridge's end of a host's cable. */
function port(host: number): string {
  return `port${host}`;
}
