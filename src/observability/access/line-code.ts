/**
 * The body of a function over all variables of a format. A loop over them would call each by way of the same few places, which no compiler can see
 * through: that took 1.4 times as long. Literals are in it as numbers and JSON strings; nothing that a client says is.
 */
import type { Passing } from "../head-text.ts";
import { EIGHT, eightsOf, KnownTexts } from "./eights.ts";
import { escapeJson, escapeText } from "./escape.ts";
import { type Line, LONGEST_LINE, LONGEST_LITERAL } from "./line.ts";
import type { Variable } from "./variables.ts";

/** Writes one line, with its newline: ASCII only. */
export type LineMaker = (account: Passing, line: Line) => void;

type Escape = "text" | "json";

export class LineCode {
  private body = "";
  private readonly of: unknown[] = [];
  /** Literals that are still to be written, with what follows them. */
  private pending = "";

  literal(text: string): void {
    this.pending += text;
  }

  /** As a format string has it. */
  variable(variable: Variable): void {
    if (variable.kind === "constant") {
      this.literal(variable.value || "-");
      return;
    }
    this.flush();
    switch (variable.kind) {
      case "text":
        this.body += this.text(variable, "text", "", "", 'line.word("-");');
        return;
      case "list":
        this.body += this.list(variable.of, "text", "", "", 'line.word("-");');
        return;
      case "known":
        this.body += `string = ${this.valueOf(variable)}; if (string === "") line.word("-"); else ${this.known(escapeText)}\n`;
        return;
      case "word":
        this.body += `string = ${this.valueOf(variable)}; line.word(string === "" ? "-" : string);\n`;
        return;
      case "integer":
        this.body += `number = ${this.valueOf(variable)}; if (number === undefined) line.word("-"); else line.integer(number);\n`;
        return;
      default:
        this.always(variable);
    }
  }

  /** One of a JSON object. The comma of the first one becomes the brace, so it is always there. */
  field(name: string, variable: Variable, first: boolean): void {
    const key = `,${JSON.stringify(name)}:`;
    const otherwise = first ? literalCode(`${key}null`) : "";
    switch (variable.kind) {
      case "constant":
        if (variable.value !== "") this.literal(`${key}"${variable.value}"`);
        else if (first) this.literal(`${key}null`);
        return;
      case "time":
        this.literal(`${key}"`);
        this.flush();
        this.always(variable);
        this.literal('"');
        return;
      case "thousandths":
        this.literal(key);
        this.flush();
        this.always(variable);
        return;
      default:
        this.flush();
    }
    const [before, after] = [literalCode(`${key}"`), "line.byte(34);"];
    if (variable.kind === "text") this.body += this.text(variable, "json", before, after, otherwise);
    else if (variable.kind === "list") this.body += this.list(variable.of, "json", before, after, otherwise);
    else if (variable.kind === "known") this.body += `string = ${this.valueOf(variable)}; if (string !== "") { ${before} ${this.known(escapeJson)} ${after} } else { ${otherwise} }\n`;
    else if (variable.kind === "word") this.body += `string = ${this.valueOf(variable)}; if (string !== "") { ${before} line.word(string); ${after} } else { ${otherwise} }\n`;
    else this.body += `number = ${this.valueOf(variable)}; if (number !== undefined) { ${literalCode(key)} line.integer(number); } else { ${otherwise} }\n`;
  }

  maker(): LineMaker {
    this.flush();
    const parameters = this.of.map((_, index) => `f${index}`);
    const make = new Function(...parameters, `return (account, line) => { const { view } = line; const text = account.text; let at, begin, end, string, number;\nline.length = 0;\n${this.body}}`) as (...of: unknown[]) => LineMaker;
    return make(...this.of);
  }

  /** Those that have a value in every line. */
  private always(variable: Variable & { readonly kind: "time" | "thousandths" }): void {
    const name = this.nameOf(variable.of);
    this.body += variable.kind === "time" ? `${name}(account, line);\n` : `line.thousandths(${name}(account));\n`;
  }

  /** From the head's bytes where they are at hand, else from the account. */
  private text(variable: Variable & { readonly kind: "text" }, escape: Escape, before: string, after: string, otherwise: string): string {
    const plain = `string = ${this.valueOf(variable)}; if (string !== "") { ${before} line.${escape}(string); ${after} } else { ${otherwise} }`;
    const { slot } = variable;
    if (slot === undefined) return `${plain}\n`;
    return `if (text !== undefined && text.isWhole(${slot})) { begin = text.begin(${slot}); end = text.end(${slot}); if (begin < end) { ${before} line.${escape}Bytes(text.buffer, begin, end); ${after} } else { ${otherwise} } } else { ${plain} }\n`;
  }

  private list([first, ...rest]: readonly (Variable & { readonly kind: "text" })[], escape: Escape, before: string, after: string, otherwise: string): string {
    const others = rest.map((each) => `line.byte(32); ${this.text(each, escape, "", "", "")}`).join("");
    return this.text(first!, escape, before, `${others}${after}`, otherwise);
  }

  private known(escape: (text: string) => string): string {
    return `line.eights(${this.nameOf(new KnownTexts(escape))}.of(string));`;
  }

  /** An expression for its value. */
  private valueOf({ of }: { readonly of: (account: Passing) => unknown }): string {
    return `${this.nameOf(of)}(account)`;
  }

  private nameOf(of: unknown): string {
    return `f${this.of.push(of) - 1}`;
  }

  private flush(): void {
    this.body += literalCode(this.pending);
    this.pending = "";
  }
}

/** Writes ASCII. */
function literalCode(text: string): string {
  if (text.length < 3) return [...Buffer.from(text)].map((code) => `line.byte(${code});`).join(" ");
  if (text.length > LONGEST_LITERAL - EIGHT) return `line.word(${JSON.stringify(text)});\n`;
  const stores = Array.from(eightsOf(text).numbers, (number, index) => `view.setFloat64(at + ${index * EIGHT}, ${number}, true);`);
  return `at = line.length; if (at <= ${LONGEST_LINE}) { ${stores.join(" ")} } line.length = at + ${text.length};\n`;
}
