import type { FastifyInstance } from "fastify";

/**
 * Every route's method and path, to tell "no such path" from "no such method here". Fastify's router does not say which
 * methods a path would have.
 */
export class RouteTable {
  readonly #routes: { readonly methods: readonly string[]; readonly path: RegExp }[] = [];

  add(methods: readonly string[], pattern: string): void {
    const steps = trimmed(pattern)
      .split("/")
      .map((step) =>
        step.startsWith(":") ? "[^/]+" : step === "*" ? ".*" : step.replaceAll(/[^\w-]/g, "\\$&"),
      );
    this.#routes.push({ methods, path: new RegExp(`^${steps.join("/")}$`) });
  }

  /** The methods that a path has, each once, in alphabetical order; empty when there is no such path. */
  methodsOf(path: string): readonly string[] {
    const methods = this.#routes
      .filter((route) => route.path.test(trimmed(path)))
      .flatMap((route) => route.methods);
    return [...new Set(methods)].sort();
  }
}

/** Fills a table from the routes that are registered from now on, and refuses those that declare no gate. */
export function collectRoutes(app: FastifyInstance): RouteTable {
  const table = new RouteTable();
  app.addHook("onRoute", ({ method, url, config }) => {
    const methods = Array.isArray(method) ? method : [method];
    if (config?.gate === undefined) throw new Error(`${methods.join(", ")} ${url} declares no gate`);
    table.add(methods, url);
  });
  return table;
}

function trimmed(path: string): string {
  return path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
}
