/** Listeners → routes → upstreams → targets, joined by lines. On a narrow screen they stand below each other and the lines are left out. */
import { useEffect, useMemo, useState } from "preact/hooks";
import { milliseconds, percent, rate } from "../../view/format.ts";
import { errorLevel, errorRate, errorShare } from "../../view/health.ts";
import type { Overview, UpstreamView } from "../../view/shapes.ts";
import { getJson, upstreamPath } from "../api.ts";
import { Mark } from "../parts/mark.tsx";
import { hrefOf } from "../route.ts";
import { type Picture, type PictureEdge, type PictureNode, pictureOf } from "./layout.ts";

/** Of the room between two columns; it is stretched to what there is. */
const WIDTH = 60;

export function PictureView({ overview, query }: { readonly overview: Overview; readonly query: string }) {
  const [unfolded, setUnfolded] = useState<ReadonlySet<string>>(new Set());
  const complete = useAllTargets(overview, query);
  const picture = useMemo(() => pictureOf(complete, { query, unfolded }), [complete, query, unfolded]);
  const unfold = (name: string): void => setUnfolded(new Set([...unfolded, name]));
  if (picture.empty) return <p class="nothing">Nothing is called “{query}”.</p>;
  return (
    <div class="picture" style={{ "--height": `${picture.height}px` }}>
      {picture.columns.map((column, index) => (
        <>
          <section class={`column column-${index}`} key={column.name} aria-label={column.name}>
            <h3>
              <span>
                {column.name} <span class="number">{column.count}</span>
              </span>
              <span class="rate">per s</span>
              <span class="p99">p99</span>
            </h3>
            <ul>
              {column.nodes.map((node) => (
                <Node key={node.id} node={node} unfold={unfold} />
              ))}
            </ul>
          </section>
          {index < 3 && <Lines key={`lines-${index}`} picture={picture} column={index} />}
        </>
      ))}
    </div>
  );
}

/** What the first that a search finds leads to. */
export function firstFound(overview: Overview, query: string): string | undefined {
  const words = query.trim().toLowerCase();
  if (words === "") return undefined;
  const { columns } = pictureOf(overview, { query, unfolded: new Set() });
  const all = columns.toReversed().flatMap(({ nodes }) => nodes.filter(({ more, link }) => !more && link !== undefined));
  const found = all.find(({ title }) => title.toLowerCase() === words) ?? all.find(({ title }) => title.toLowerCase().includes(words));
  return found?.link === undefined ? undefined : hrefOf(found.link);
}

function Node({ node, unfold }: { readonly node: PictureNode; readonly unfold: (name: string) => void }) {
  const { title, note, health, rates, link, tall, more, group, y } = node;
  // Few are not worth the room; and in a row the address needs it.
  const errors = rates === undefined || errorRate(rates) < 0.05 || errorShare(rates) < 0.01 ? undefined : `${percent(errorShare(rates))} ${tall ? "errors" : "err"}`;
  const errorClass = rates === undefined || errorLevel(rates) === "ok" ? "note" : `word level-${errorLevel(rates)}`;
  const showWord = health.level !== "ok" && health.word !== "errors";
  const content = (
    <>
      <span class="name">
        <Mark level={health.level} />
        <span class="title" title={title}>
          {title}
        </span>
        {!tall && note !== "" && <span class="note">{note}</span>}
        {!tall && showWord && <span class={`word level-${health.level}`}>{health.word}</span>}
        {!tall && errors !== undefined && <span class={errorClass}>{errors}</span>}
        {health.level === "ok" && <span class="hidden">, ok</span>}
      </span>
      {rates !== undefined && (
        <>
          <span class="rate">
            {rate(rates.rate)}
            <span class="unit">/s</span>
          </span>
          <span class="p99">
            <span class="hidden">, p99 </span>
            {milliseconds(rates.p99_ms)}
          </span>
        </>
      )}
      {tall && (
        <span class="second">
          {showWord && <span class={`word level-${health.level}`}>{health.word}</span>}
          {errors !== undefined && <span class={errorClass}>{errors}</span>}
          {note !== "" && <span class="note">{note}</span>}
        </span>
      )}
    </>
  );
  const kind = `node ${tall ? "tall" : "low"} at-${health.level}${more ? " more" : ""}`;
  return (
    <li style={{ "--y": `${y}px` }}>
      {group !== undefined && <span class="group">{group}</span>}
      {more && link === undefined ? (
        <button type="button" class={kind} onClick={() => unfold(node.id.slice("more:".length))}>
          {content}
        </button>
      ) : link === undefined ? (
        <div class={kind}>{content}</div>
      ) : (
        <a class={kind} href={hrefOf(link)}>
          {content}
        </a>
      )}
    </li>
  );
}

function Lines({ picture: { edges, height }, column }: { readonly picture: Picture; readonly column: number }) {
  return (
    <svg class="lines" viewBox={`0 0 ${WIDTH} ${height}`} preserveAspectRatio="none" aria-hidden="true">
      {edges
        .filter((edge) => edge.column === column)
        .toSorted((one, other) => Number(one.level === "bad") - Number(other.level === "bad"))
        .map((edge) => (
          <path key={edge.id} class={`at-${edge.level}`} d={curve(edge)} stroke-width={width(edge.rate)} vector-effect="non-scaling-stroke" />
        ))}
    </svg>
  );
}

function curve({ from, to }: PictureEdge): string {
  return `M0 ${from.toFixed(1)}C${WIDTH / 2} ${from.toFixed(1)} ${WIDTH / 2} ${to.toFixed(1)} ${WIDTH} ${to.toFixed(1)}`;
}

/** From a hair to five pixels, each ten times the rate one more. */
function width(perSecond: number): string {
  return (perSecond <= 0 ? 0.8 : Math.min(5, 1 + Math.log10(1 + perSecond))).toFixed(1);
}

/** An overview has not all targets of a large upstream; a search wants them all. */
function useAllTargets(overview: Overview, query: string): Overview {
  const [all, setAll] = useState<ReadonlyMap<string, UpstreamView>>(new Map());
  const searched = query.trim() !== "";
  const cut = overview.upstreams.filter(({ targets, target_count: count }) => targets.length < count).map(({ name }) => name);
  const wanted = searched ? cut.join("\n") : "";
  useEffect(() => {
    if (wanted === "") return setAll(new Map());
    let gone = false;
    void Promise.all(wanted.split("\n").map(async (name) => [name, await getJson<UpstreamView>(upstreamPath(name))] as const)).then(
      (pairs) => !gone && setAll(new Map(pairs)),
      // Then what the overview has is searched.
      () => undefined,
    );
    return () => {
      gone = true;
    };
  }, [wanted]);
  return useMemo(() => (all.size === 0 ? overview : { ...overview, upstreams: overview.upstreams.map((upstream) => ({ ...upstream, targets: all.get(upstream.name)?.targets ?? upstream.targets })) }), [overview, all]);
}
