/** Which page is shown: it stands behind the address's #, so that it can be linked to and the server need not know. */

export type Route =
  | { readonly page: "overview" }
  | { readonly page: "upstream"; readonly upstream: string }
  | { readonly page: "target"; readonly upstream: string; readonly target: string }
  | { readonly page: "exchanges"; readonly filter: Readonly<Record<string, string>> }
  | { readonly page: "exchange"; readonly id: string }
  | { readonly page: "events" }
  | { readonly page: "config" };

export function hrefOf(route: Route): string {
  switch (route.page) {
    case "overview":
      return "#/";
    case "upstream":
      return `#/upstreams/${encodeURIComponent(route.upstream)}`;
    case "target":
      return `#/upstreams/${encodeURIComponent(route.upstream)}/targets/${encodeURIComponent(route.target)}`;
    case "exchanges": {
      const query = new URLSearchParams(route.filter).toString();
      return `#/exchanges${query === "" ? "" : `?${query}`}`;
    }
    case "exchange":
      return `#/exchanges/${encodeURIComponent(route.id)}`;
    case "events":
    case "config":
      return `#/${route.page}`;
  }
}

/** What is not known is the overview. */
export function routeOf(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#?\/?/, "").split("?", 2);
  const parts = path.split("/").map(decoded);
  const [first, second, third, fourth] = parts;
  if (first === "upstreams" && second !== undefined && second !== "") return third === "targets" && fourth !== undefined ? { page: "target", upstream: second, target: fourth } : { page: "upstream", upstream: second };
  if (first === "exchanges") return second === undefined || second === "" ? { page: "exchanges", filter: Object.fromEntries(new URLSearchParams(query)) } : { page: "exchange", id: second };
  if (first === "events" || first === "config") return { page: first };
  return { page: "overview" };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
