/** The frame around every page: where one is, what is wrong, the search, the keys. */
import { useEffect, useRef, useState } from "preact/hooks";
import { span } from "../view/format.ts";
import { findingsOf } from "../view/findings.ts";
import type { Overview } from "../view/shapes.ts";
import { connection, overview as overviewStore } from "./live.ts";
import { useKeys } from "./keys.ts";
import { ConfigPage } from "./pages/config.tsx";
import { EventsPage } from "./pages/events.tsx";
import { ExchangePage } from "./pages/exchange.tsx";
import { ExchangesPage } from "./pages/exchanges.tsx";
import { OverviewPage } from "./pages/overview.tsx";
import { TargetPage } from "./pages/target.tsx";
import { UpstreamPage } from "./pages/upstream.tsx";
import { ConnectionBanner } from "./parts/connection-banner.tsx";
import { Findings } from "./parts/findings.tsx";
import { Help } from "./parts/help.tsx";
import { Mark } from "./parts/mark.tsx";
import { TokenDialog } from "./parts/token-dialog.tsx";
import { firstFound } from "./picture/picture.tsx";
import { go, place } from "./place.ts";
import { hrefOf, type Route } from "./route.ts";
import { useStore } from "./store.ts";
import { theme as themeStore, THEMES } from "./theme.ts";

const PAGES: readonly { readonly name: string; readonly to: Route; readonly of: readonly Route["page"][] }[] = [
  { name: "Overview", to: { page: "overview" }, of: ["overview", "upstream", "target"] },
  { name: "Exchanges", to: { page: "exchanges", filter: {} }, of: ["exchanges", "exchange"] },
  { name: "Events", to: { page: "events" }, of: ["events"] },
  { name: "Configuration", to: { page: "config" }, of: ["config"] },
];

export function App() {
  const overview = useStore(overviewStore);
  const route = useStore(place);
  const state = useStore(connection);
  const theme = useStore(themeStore);
  const [query, setQuery] = useState("");
  const [help, setHelp] = useState(false);
  const search = useRef<HTMLInputElement>(null);
  const main = useRef<HTMLElement>(null);
  const turnTheme = (): void => themeStore.set(THEMES[(THEMES.indexOf(themeStore.get()) + 1) % THEMES.length]!);
  useKeys({ focusSearch: () => search.current?.focus(), help: () => setHelp(true), turnTheme });
  useTitle(overview, route);
  useFocusOnMove(route, main.current);

  // What is found is shown in the picture.
  const find = (text: string): void => {
    setQuery(text);
    if (place.get().page !== "overview") go({ page: "overview" });
  };
  const searchKey = (event: KeyboardEvent): void => {
    if (event.key === "Escape") {
      setQuery("");
      search.current?.blur();
    }
    const found = event.key === "Enter" && overview !== undefined ? firstFound(overview, query) : undefined;
    if (found !== undefined) location.hash = found;
  };
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), main.current?.focus())}>
        Skip to the content
      </a>
      <header>
        <div class="bar">
          <a class="home" href={hrefOf({ page: "overview" })}>
            Fairlead
          </a>
          {overview !== undefined && <Instance overview={overview} live={state.phase === "live"} />}
          <nav aria-label="Pages">
            {PAGES.map(({ name, to, of }) => (
              <a key={name} href={hrefOf(to)} aria-current={of.includes(route.page) ? "page" : undefined}>
                {name}
              </a>
            ))}
          </nav>
          <div class="tools">
            <input ref={search} type="search" aria-label="Search targets, upstreams, routes, listeners" placeholder="Search  /" value={query} onInput={(event) => find(event.currentTarget.value)} onKeyDown={searchKey} spellcheck={false} />
            <button type="button" onClick={turnTheme} title="Light, dark, or as the system has it (t)">
              Theme: {theme}
            </button>
            <button type="button" onClick={() => setHelp(true)} title="Keys (?)" aria-label="Help">
              ?
            </button>
          </div>
        </div>
        <ConnectionBanner />
      </header>
      <main id="main" ref={main} tabIndex={-1} class={state.phase === "lost" ? "stale" : ""}>
        {overview === undefined ? (
          <p class="nothing">{state.phase === "connecting" ? "Connecting …" : "Nothing was heard yet."}</p>
        ) : (
          <>
            <Findings findings={findingsOf(overview)} page={route.page === "overview" ? "overview" : "elsewhere"} />
            <Page overview={overview} route={route} query={query} />
          </>
        )}
      </main>
      {help && <Help onClose={() => setHelp(false)} />}
      <TokenDialog />
    </>
  );
}

function Page({ overview, route, query }: { readonly overview: Overview; readonly route: Route; readonly query: string }) {
  switch (route.page) {
    case "overview":
      return <OverviewPage overview={overview} query={query} />;
    case "upstream":
      return <UpstreamPage key={route.upstream} overview={overview} name={route.upstream} />;
    case "target":
      return <TargetPage key={`${route.upstream} ${route.target}`} overview={overview} upstream={route.upstream} address={route.target} />;
    case "exchanges":
      return <ExchangesPage overview={overview} filter={route.filter} />;
    case "exchange":
      return <ExchangePage key={route.id} id={route.id} />;
    case "events":
      return <EventsPage />;
    case "config":
      return <ConfigPage overview={overview} />;
  }
}

function Instance({ overview: { instance }, live }: { readonly overview: Overview; readonly live: boolean }) {
  const level = live ? (instance.state === "ok" ? "ok" : "warn") : "bad";
  return (
    <p class="instance">
      <span class={`level-${level}`}>
        <Mark level={level} /> {live ? (instance.state === "ok" ? "live" : "draining") : "not live"}
      </span>
      <span>generation {instance.generation}</span>
      <span class="wide">up {span(Date.now() - Date.parse(instance.started_at))}</span>
      <span class="wide">{instance.version}</span>
    </p>
  );
}

/** So that a tab in the background tells it. */
function useTitle(overview: Overview | undefined, route: Route): void {
  const bad = overview === undefined ? 0 : findingsOf(overview).filter(({ level }) => level === "bad").length;
  const name = route.page === "target" ? route.target : route.page === "upstream" ? route.upstream : (PAGES.find(({ of }) => of.includes(route.page))?.name ?? "");
  useEffect(() => {
    document.title = `${bad > 0 ? `(${bad}) ` : ""}${name} – Fairlead`;
  }, [bad, name]);
}

/** A new page begins at its top, for readers of the screen too. */
function useFocusOnMove(route: Route, main: HTMLElement | null): void {
  const first = useRef(true);
  useEffect(() => {
    if (first.current) {
      first.current = false;
      return;
    }
    if (document.activeElement?.tagName === "INPUT") return;
    scrollTo(0, 0);
    main?.focus({ preventScroll: true });
  }, [hrefOf(route)]);
}
