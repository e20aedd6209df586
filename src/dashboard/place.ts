/** Where the browser is, and how it gets elsewhere. */
import { hrefOf, type Route, routeOf } from "./route.ts";
import { Store } from "./store.ts";

export const place = new Store<Route>(routeOf(location.hash));

addEventListener("hashchange", () => place.set(routeOf(location.hash)));

export function go(to: Route): void {
  location.hash = hrefOf(to);
}
