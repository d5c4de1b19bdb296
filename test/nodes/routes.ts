/** The admin routes of this package, as they stand in Node-RED's router: none can be forgotten. */

interface Layer {
  route?: { path: string; methods: Record<string, boolean> };
}

export interface Route {
  /** `GET`, `POST`. */
  method: string;
  path: string;
}

/** Of an Express application. */
export function routesOf(app: unknown): Route[] {
  // Express 4, which Node-RED uses, has no public name for it.
  const { _router } = app as { _router: { stack: Layer[] } };
  return _router.stack.flatMap(({ route }) =>
    route === undefined || !route.path.startsWith('/cloud-sync/')
      ? []
      : Object.keys(route.methods).map((method) => ({ method: method.toUpperCase(), path: route.path })),
  );
}
