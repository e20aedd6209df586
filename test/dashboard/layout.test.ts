/** Where the dashboard's picture puts things. */
import { expect, test } from "bun:test";
import { LOW, type Picture, type PictureNode, pictureOf, TALL } from "../../src/dashboard/picture/layout.ts";
import { overviewOf, rates, routeView, targetView, upstreamView } from "../support/view.ts";

const NONE: ReadonlySet<string> = new Set();
const titles = ({ columns }: Picture): string[][] => columns.map(({ nodes }) => nodes.map(({ title }) => title));

function overlaps(nodes: readonly PictureNode[]): string[] {
  return nodes.flatMap((node, index) => {
    const next = nodes[index + 1];
    return next !== undefined && node.y + (node.tall ? TALL : LOW) > next.y ? [`${node.title} and ${next.title}`] : [];
  });
}

const small = overviewOf(
  [upstreamView("web", [targetView("10.0.0.1:80"), targetView("10.0.0.2:80", { state: "down" }), targetView("10.0.0.3:80")]), upstreamView("api", [targetView("10.0.1.1:80")])],
  [routeView("api.test", "api"), routeView("www.test", "web")],
);

test("three targets stand beside their upstream, and every line ends at the middle of a node", () => {
  const picture = pictureOf(small, { query: "", unfolded: NONE });
  expect(titles(picture)).toEqual([["web"], ["www.test", "everything else", "api.test"], ["web", "api"], ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.1.1:80"]]);
  for (const { nodes } of picture.columns) expect(overlaps(nodes)).toEqual([]);
  const middles = picture.columns.map(({ nodes }) => new Set(nodes.map(({ y, tall }) => y + (tall ? TALL : LOW) / 2)));
  expect(picture.edges).toHaveLength(3 + 3 + 4);
  for (const { column, from, to } of picture.edges) expect([middles[column]!.has(from), middles[column + 1]!.has(to)]).toEqual([true, true]);
  expect(picture.columns[2]!.nodes[0]).toMatchObject({ note: "2 of 3 up", health: { level: "warn", word: "degraded" } });
});

const TARGETS = 500;
const many = Array.from({ length: TARGETS }, (_, n) => targetView(`10.1.${n >> 8}.${n & 255}:80`, n % 50 === 49 ? { state: "down" } : {}));
// As the API tells it: those in trouble, then others, 200 at most.
const told = many.toSorted((one, other) => Number(other.state === "down") - Number(one.state === "down")).slice(0, 200);
const large = overviewOf([upstreamView("fleet", told, { target_count: TARGETS, healthy_count: 490 }), ...small.upstreams], [routeView("fleet.test", "fleet"), ...small.routes]);

test("of five hundred targets those in trouble are seen, and how many more there are", () => {
  const picture = pictureOf(large, { query: "", unfolded: NONE });
  const rows = picture.columns[3]!.nodes.filter(({ id }) => id.includes(":fleet"));
  expect(rows.filter(({ health }) => health.level === "bad")).toHaveLength(10);
  expect(rows.at(-1)).toMatchObject({ more: true, title: `and ${TARGETS - rows.length + 1} more`, note: "all up" });
  expect(picture.columns[3]!.count).toBe(TARGETS + 4);
  expect(picture.columns[3]!.nodes.length).toBeLessThan(50);
  for (const { nodes } of picture.columns) expect(overlaps(nodes)).toEqual([]);
});

test("many upstreams and routes fold too, and unfold", () => {
  const upstreams = Array.from({ length: 60 }, (_, n) => upstreamView(`u${n}`, [targetView(`10.2.0.${n}:80`)], n === 55 ? { ...rates(10, { "5xx": 5 }) } : {}));
  const overview = overviewOf(upstreams, upstreams.map(({ name }) => routeView(`${name}.test`, name)));
  const picture = pictureOf(overview, { query: "", unfolded: NONE });
  expect(picture.columns[2]!.nodes.map(({ title }) => title)).toContain("u55");
  expect(picture.columns[2]!.nodes.at(-1)).toMatchObject({ title: "and 36 more upstreams" });
  expect(picture.columns[1]!.nodes.some(({ title }) => title === "and 37 more routes")).toBe(true);
  expect(pictureOf(overview, { query: "", unfolded: new Set(["upstreams"]) }).columns[2]!.nodes).toHaveLength(60);
});

test("a search leaves what is called so, with what leads there", () => {
  expect(titles(pictureOf(small, { query: "10.0.1.", unfolded: NONE }))).toEqual([["web"], ["api.test"], ["api"], ["10.0.1.1:80"]]);
  expect(titles(pictureOf(small, { query: "WWW", unfolded: NONE }))[2]).toEqual(["web"]);
  expect(pictureOf(small, { query: "nobody", unfolded: NONE }).empty).toBe(true);
});
