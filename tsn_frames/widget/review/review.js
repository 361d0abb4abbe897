// The page of a review: shows a text, takes a key, shows the next text at once, and sends the decision behind. Python writes it
// and confirms it. The page holds the next texts, so it goes on while the kernel is busy. Texts are set as text, never as HTML.
// @ts-check

/** @typedef {{labels: number[] | null, note: string, flag: boolean, skip: boolean}} Decision */
/** @typedef {{name: string, description: string, group: string}} Label */
/** @typedef {{index: number, text: string, copies: number, shown: [string, number[] | null][]}} Row */
/** @typedef {{type: "decide" | "undo" | "save", n: number, item?: number, seconds?: number | null} & Partial<Decision>} Step */
/**
 * @typedef {object} Message
 * @property {"snapshot" | "rows" | "saved" | "outdated"} type
 * @property {string} [view] the one view that it is for; else all
 * @property {string} [but] the one view that it is not for
 * @property {number} n the newest message of this view that is on the disk, or with `problem` could not be written
 * @property {string} problem
 * @property {string} column
 * @property {"blind" | "audit" | "adjudication"} mode
 * @property {boolean} multiple
 * @property {number} count
 * @property {number} start
 * @property {Label[]} labels
 * @property {[number, Decision][]} decided
 * @property {[number, Decision][]} steps what undo restores, the newest last
 * @property {boolean} more whether there are older steps
 * @property {Row[]} rows
 */

/** @type {Decision} */
const UNDECIDED = { labels: null, note: "", flag: false, skip: false };
const DIGITS = "1234567890";
const LETTERS = "abcdeghijklmopqrtvwxyz"; // those that do nothing else: f flags, n notes, s skips, u undoes
const AHEAD = 50; // texts that the page has at hand, where there are as many
const SHORT = 20_000; // characters of a text that are shown at first
const SPOKEN = 300; // characters of the next text that are read out
const SILENCE = 5000; // milliseconds without a confirmation after which a notice is shown
const MODES = { blind: "Blind review", audit: "Audit", adjudication: "Adjudication" };
const KEYS = /** @type {const} */ ([
  ["1 … 9, 0, a …", "give the label"],
  ["/", "search a label"],
  ["Space", "accept the label shown (audit); confirm the labels (several)"],
  ["u, Ctrl+Z", "undo, any number of times"],
  ["s", "skip"],
  ["n", "note"],
  ["f", "flag"],
  ["← →", "previous, next text"],
  ["?", "this codebook"],
]);

/** @param {string} key @param {string} label @param {string} name @param {() => void} act */
function keyButton(key, label, name, act) {
  const made = button(`${label} `, name, act, { "aria-keyshortcuts": key });
  made.append(make("kbd", {}, key));
  return made;
}

/** @param {number} count @param {string} noun */
const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

/** One view of one review. */
class ReviewView {
  id = Math.random().toString(36).slice(2);
  n = 0;
  count = 0;
  current = 0;
  /** Whether there is nothing left to read; the current text stays that of the last decision. */
  finished = false;
  /** Whether the texts that were skipped are read now. */
  again = false;
  /** @type {Message["mode"]} */
  mode = "blind";
  column = "";
  multiple = false;
  more = false;
  /** @type {Label[]} */
  labels = [];
  /** @type {Map<number, Decision>} */
  decisions = new Map();
  /** @type {{index: number, before: Decision}[]} */
  steps = [];
  /** @type {Map<number, Row>} */
  rows = new Map();
  /** First index of the texts that were requested last. */
  requested = -1;
  /** Messages that Python has not confirmed, by their number. @type {Map<number, Step>} */
  unsaved = new Map();
  problem = "";
  /** Labels that are picked and not confirmed yet, where a text may have several. @type {Set<number>} */
  picked = new Set();
  since = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  waiting;

  place = make("span", { class: "tsnr-place" });
  done = make("span", { class: "tsnr-dim" });
  bar = make("progress", { class: "tsnr-bar", "aria-label": "Texts decided" });
  saved = make("span", { class: "tsnr-saved" });
  text = make("div", { class: "tsnr-text", tabindex: "0", role: "group", dir: "auto", "aria-label": "Text" });
  rest = button("", "rest", () => this.#whole(), { hidden: true });
  shown = make("p", { class: "tsnr-shown", hidden: true });
  marks = make("p", { class: "tsnr-marks", hidden: true });
  list = make("div", { class: "tsnr-labels", role: "group", "aria-label": "Labels" });
  search = make("input", { type: "search", class: "tsn-input", "aria-label": "Search a label", placeholder: "Search a label, Enter takes the first", hidden: true, autocomplete: "off" });
  note = make("textarea", { class: "tsn-input", rows: "2", dir: "auto", "aria-label": "Note", placeholder: "Note. Enter keeps it, Escape leaves it", hidden: true });
  codebook = make("div", { class: "tsnr-codebook", role: "region", "aria-label": "Codebook", tabindex: "0", hidden: true });
  notice = make("p", { class: "tsnr-notice", role: "alert", hidden: true });
  retry = button("Save again", "save", () => this.#send({ type: "save", n: ++this.n }), { hidden: true });
  accept = keyButton("Space", "Accept", "accept", () => this.#accept());
  live = make("p", { class: "tsn-unseen", role: "status" });
  /** @type {HTMLButtonElement[]} */
  buttons = [];
  root = make("section", { class: "tsn-page tsnr", role: "application", "aria-label": "Review of texts; press ? for the keys", "data-status": "connecting", "data-lm-suppress-shortcuts": "true" });

  /** @param {Model} model @param {HTMLElement} host */
  constructor(model, host) {
    this.model = model;
    const hint = make("p", { class: "tsnr-hint" }, "Click here, and the keys work.");
    const acts = [
      this.accept,
      keyButton("u", "Undo", "undo", () => this.#undo()),
      keyButton("s", "Skip", "skip", () => this.#skip()),
      keyButton("n", "Note", "note", () => this.#openNote()),
      keyButton("f", "Flag", "flag", () => this.#change({ flag: !this.#decision().flag })),
      keyButton("?", "Codebook", "codebook", () => this.#toggleCodebook()),
    ];
    const head = make("header", { class: "tsnr-head" }, this.place, this.bar, this.done, this.saved);
    this.root.append(head, this.text, this.rest, this.shown, this.marks, this.search, this.list, this.note);
    this.root.append(this.notice, this.retry, make("footer", { class: "tsnr-acts" }, ...acts, hint), this.codebook, this.live);
    host.append(this.root);
    this.#listen();
    model.on("msg:custom", this.receive);
    this.#ask({ type: "hello" });
    this.#wait("The kernel doesn't answer: it is busy, or was restarted. After a restart, run the cell again: the review continues.");
  }

  #listen() {
    handleKeys(this.root, (event) => this.#pressed(event));
    this.root.addEventListener("click", (event) => this.#clicked(/** @type {HTMLElement} */ (event.target)));
    this.search.addEventListener("input", () => this.#filter());
    addEventListener("beforeunload", this.leave);
  }

  close() {
    this.model.off("msg:custom", this.receive);
    removeEventListener("beforeunload", this.leave);
    clearTimeout(this.waiting);
  }

  /** The browser asks before a page with unsaved decisions is left. @param {Event} event */
  leave = (event) => this.unsaved.size && event.preventDefault();

  // Messages from Python

  /** @param {Message} message */
  receive = (message) => {
    if ((message.view ?? this.id) !== this.id || message.but === this.id) return;
    if (message.type === "snapshot") this.#snapshot(message);
    else if (message.type === "rows") this.#keep(message.rows);
    else if (message.type === "saved") this.#confirmed(message);
    else this.#ask({ type: "hello" });
  };

  /** @param {Message} message */
  #snapshot(message) {
    const first = this.root.dataset.status === "connecting";
    const { column, mode, multiple, count, labels, more } = message;
    Object.assign(this, { column, mode, multiple, count, labels, more });
    this.decisions = new Map(message.decided);
    this.steps = message.steps.map(([index, before]) => ({ index, before }));
    this.n = Math.max(this.n, message.n);
    if (first) this.#build();
    this.#confirmed(message);
    for (const step of this.unsaved.values()) if (step.n > message.n) this.#apply(step);
    for (const row of message.rows) this.rows.set(row.index, row);
    if (first) this.#go(this.#pending(message.start) ? message.start : -1);
    else this.#render();
  }

  /** @param {Row[]} rows */
  #keep(rows) {
    const waited = !this.rows.has(this.current);
    for (const row of rows) this.rows.set(row.index, row);
    if (waited) this.#render();
    else this.#prefetch();
  }

  /** @param {Message} message */
  #confirmed({ n, problem }) {
    this.problem = problem;
    if (!problem) for (const step of this.unsaved.keys()) if (step <= n) this.unsaved.delete(step);
    clearTimeout(this.waiting);
    this.waiting = undefined;
    this.#notify(problem && `Not saved: ${problem}. Nothing is lost while this page is open: make room, then save again.`);
    this.retry.hidden = !problem;
    if (this.unsaved.size && !problem) this.#silence();
    this.#count();
  }

  // Messages to Python

  /** @param {object} message */
  #ask(message) {
    try {
      this.model.send({ ...message, view: this.id });
    } catch {
      this.#silence(0); // the kernel was restarted: it doesn't have this review
    }
  }

  /** @param {Step} step */
  #send(step) {
    this.unsaved.set(step.n, step);
    this.#ask(step);
    this.#silence();
    this.#count();
  }

  #silence(after = SILENCE) {
    this.waiting ??= this.#wait("The kernel doesn't answer: it is busy, or was restarted. A busy one saves this later; after a restart what is not saved has to be read again.", after);
  }

  /** @param {string} text */
  #wait(text, after = SILENCE) {
    this.waiting = setTimeout(() => this.#notify(text), after);
    return this.waiting;
  }

  /** @param {string} text */
  #notify(text) {
    if (this.notice.textContent !== text) this.notice.textContent = text;
    this.notice.hidden = !text;
  }

  // Decisions

  #decision() {
    return this.decisions.get(this.current) ?? UNDECIDED;
  }

  /** @param {Step} step @returns {number} the text that it is about */
  #apply(step) {
    if (step.type === "undo") {
      const last = this.steps.pop();
      if (last) this.decisions.set(last.index, last.before);
      return last?.index ?? this.current;
    }
    if (step.type === "save" || step.item === undefined) return this.current;
    const { labels = null, note = "", flag = false, skip = false } = step;
    this.steps.push({ index: step.item, before: this.decisions.get(step.item) ?? UNDECIDED });
    this.decisions.set(step.item, { labels, note, flag, skip });
    return step.item;
  }

  /** Change the decision on the current text, and send it. @param {Partial<Decision>} change @param {number | null} seconds */
  #change(change, seconds = null) {
    if (this.finished || !this.rows.has(this.current)) return;
    /** @type {Step} */
    const step = { type: "decide", n: ++this.n, item: this.current, ...this.#decision(), ...change, seconds };
    this.#apply(step);
    this.#render(false);
    this.#send(step);
  }

  /** Give labels to the current text and show the next one. @param {number[]} labels */
  #decide(labels) {
    if (this.finished || !this.rows.has(this.current)) return;
    const seconds = Math.round(performance.now() - this.since) / 1000;
    /** @type {Step} */
    const step = { type: "decide", n: ++this.n, item: this.current, ...this.#decision(), labels, skip: false, seconds };
    this.#apply(step);
    const names = labels.map((place) => this.labels[place].name).join(", ") || "No label";
    this.#go(this.#next(), `${names}. `);
    this.#send(step);
  }

  /** @param {number} place */
  #choose(place) {
    if (!this.labels[place] || this.finished) return;
    if (!this.multiple) return this.#decide([place]);
    if (!this.picked.delete(place)) this.picked.add(place);
    this.#mark();
    this.live.textContent = `${this.labels[place].name}: ${this.picked.has(place) ? "yes" : "no"}`;
  }

  #accept() {
    if (this.multiple) return this.#decide([...this.picked].sort((a, b) => a - b));
    const proposed = this.mode === "audit" && this.rows.get(this.current)?.shown[0][1];
    if (proposed) this.#decide(proposed);
  }

  #skip() {
    if (this.finished) return this.#readSkipped();
    this.#change({ skip: true, labels: null });
    this.#go(this.#next(), "Skipped. ");
  }

  #undo() {
    if (!this.steps.length) {
      if (this.more) this.#ask({ type: "hello" }); // older steps than the page holds
      else this.live.textContent = "Nothing to undo.";
      return;
    }
    /** @type {Step} */
    const step = { type: "undo", n: ++this.n };
    this.#go(this.#apply(step), "Undone. ");
    this.#send(step);
    if (!this.steps.length && this.more) this.#ask({ type: "hello" });
  }

  // Order

  /** @param {number} index */
  #pending(index) {
    const made = this.decisions.get(index);
    return index < this.count && (!made || (made.labels === null && (this.again || !made.skip)));
  }

  /** Return the next text without a decision, -1 for none. */
  #next() {
    for (let step = 1; step < this.count; step++) {
      const index = (this.current + step) % this.count;
      if (this.#pending(index)) return index;
    }
    return -1;
  }

  /** Show a text, or with -1 the end. @param {number} index @param {string} spoken */
  #go(index, spoken = "") {
    this.finished = index < 0;
    if (index >= 0) this.current = index;
    this.since = performance.now();
    this.#closePanels();
    this.#render(true, spoken);
  }

  /** @param {number} by */
  #move(by) {
    const to = this.finished && by < 0 ? this.current : this.current + by;
    if (to >= 0 && to < this.count) this.#go(to);
  }

  /** Request the next texts before they are needed. */
  #prefetch() {
    let missing = this.current;
    while (missing < this.count && missing < this.current + AHEAD && this.rows.has(missing)) missing++;
    if (missing >= this.count || missing >= this.current + AHEAD || this.requested === missing) return;
    this.requested = missing;
    this.#ask({ type: "rows", start: missing });
  }

  // Rendering

  #build() {
    const groups = new Map();
    for (const [place, { name, description, group }] of this.labels.entries()) {
      const key = this.#key(place);
      const made = make("button", { type: "button", class: "tsn-button tsnr-label", "data-label": String(place), "aria-pressed": "false", tabindex: "-1", title: description || undefined });
      made.append(make("kbd", {}, key), make("span", { dir: "auto" }, name));
      this.buttons.push(made);
      if (group && !groups.has(group)) this.list.append(make("p", { class: "tsnr-group", dir: "auto" }, group));
      groups.set(group, true);
      this.list.append(made);
    }
    const entries = this.labels.flatMap(({ name, description }) => [make("dt", { dir: "auto" }, name), make("dd", { dir: "auto" }, description || "–")]);
    const keys = KEYS.flatMap(([key, does]) => [make("dt", {}, make("kbd", {}, key)), make("dd", {}, does)]);
    this.codebook.append(make("h4", {}, "Labels"), make("dl", {}, ...entries), make("h4", {}, "Keys"), make("dl", {}, ...keys));
    this.root.dataset.mode = this.mode;
    this.accept.hidden = this.mode !== "audit" && !this.multiple;
  }

  /** @param {number} place */
  #key(place) {
    return (DIGITS + LETTERS)[place] ?? "/";
  }

  /** @param {boolean} fresh whether another text is shown @param {string} spoken what is read out before the text */
  #render(fresh = true, spoken = "") {
    const row = this.rows.get(this.current);
    this.root.dataset.status = this.finished ? "done" : row ? "ready" : "loading";
    this.root.dataset.index = String(this.finished ? this.count : this.current);
    if (fresh) this.#fresh(row, spoken);
    this.#about(row);
    this.#mark();
    this.#count();
    this.#prefetch();
  }

  /** Show another text. @param {Row | undefined} row @param {string} spoken */
  #fresh(row, spoken) {
    const proposed = this.mode === "audit" ? row?.shown[0][1] : null;
    this.picked = new Set(this.#decision().labels ?? proposed ?? []);
    const text = this.finished ? this.#end() : (row?.text ?? "The next texts come when the kernel is free.");
    this.text.textContent = text.length > SHORT ? `${text.slice(0, SHORT)}…` : text;
    this.text.scrollTop = 0;
    this.rest.hidden = text.length <= SHORT;
    this.rest.textContent = `Show all ${plural(text.length, "character")}`;
    const place = this.finished ? "" : `Text ${this.current + 1} of ${this.count}. `;
    this.live.textContent = `${spoken}${place}${text.slice(0, SPOKEN)}`;
  }

  #end() {
    const skipped = [...this.decisions.values()].filter((made) => made.labels === null && made.skip).length;
    if (!this.count) return "There is nothing to read.";
    return skipped ? `${plural(skipped, "text")} skipped, all others have a decision. Press s to read them now.` : "All texts have a decision.";
  }

  /** @param {Row | undefined} row */
  #about(row) {
    const made = this.#decision();
    const shown = this.finished ? [] : (row?.shown ?? []);
    this.shown.hidden = !shown.length;
    this.shown.replaceChildren(
      ...shown.map(([source, labels]) => make("span", { class: "tsnr-source" }, `${source}: `, make("b", { dir: "auto" }, labels ? labels.map((place) => this.labels[place].name).join(", ") || "none" : "no label"))),
    );
    const marks = [made.flag && "Flagged", made.skip && "Skipped", row && row.copies > 1 && plural(row.copies, "equal row"), made.note && `Note: ${made.note}`].filter(Boolean);
    this.marks.hidden = this.finished || !marks.length;
    this.marks.textContent = marks.join(" · ");
  }

  /** Mark the labels that are chosen. */
  #mark() {
    const chosen = this.multiple ? this.picked : new Set(this.#decision().labels ?? []);
    const shown = new Set((this.rows.get(this.current)?.shown ?? []).flatMap(([, labels]) => labels ?? []));
    for (const [place, made] of this.buttons.entries()) {
      made.setAttribute("aria-pressed", String(!this.finished && chosen.has(place)));
      made.toggleAttribute("data-shown", !this.finished && shown.has(place));
    }
  }

  #count() {
    const decided = [...this.decisions.values()].filter((made) => made.labels !== null).length;
    this.place.textContent = this.finished ? `${MODES[this.mode]}: ${this.column}` : `${MODES[this.mode]}: ${this.column} · ${this.current + 1}`;
    this.bar.max = Math.max(this.count, 1);
    this.bar.value = decided;
    this.done.textContent = `${decided.toLocaleString("en")} of ${this.count.toLocaleString("en")}`;
    const waits = this.unsaved.size;
    this.saved.textContent = waits ? `${waits.toLocaleString("en")} not saved` : "Saved";
    this.root.dataset.unsaved = String(waits);
  }

  #whole() {
    this.text.textContent = this.rows.get(this.current)?.text ?? "";
    this.rest.hidden = true;
    this.text.focus();
  }

  // Panels

  #closePanels() {
    const focused = [this.search, this.note].some((one) => one === document.activeElement);
    this.search.hidden = this.note.hidden = true;
    if (this.search.value) {
      this.search.value = "";
      this.#filter();
    }
    if (focused) this.text.focus({ preventScroll: true });
  }

  #openNote() {
    if (this.finished) return;
    this.note.hidden = false;
    this.note.value = this.#decision().note;
    this.note.focus();
  }

  #openSearch() {
    this.search.hidden = false;
    this.search.focus();
  }

  #toggleCodebook() {
    this.codebook.hidden = !this.codebook.hidden;
    (this.codebook.hidden ? this.text : this.codebook).focus({ preventScroll: true });
  }

  /** Return the places of the labels that match the search, those that begin with it first. */
  #matches() {
    const wanted = this.search.value.trim().toLowerCase();
    const begins = (/** @type {number} */ place) => this.labels[place].name.toLowerCase().startsWith(wanted);
    const found = [...this.labels.keys()].filter((place) => `${this.labels[place].name} ${this.labels[place].group}`.toLowerCase().includes(wanted));
    return found.sort((a, b) => Number(begins(b)) - Number(begins(a)) || a - b);
  }

  #filter() {
    const found = this.#matches();
    for (const [place, made] of this.buttons.entries()) {
      made.hidden = !found.includes(place);
      made.toggleAttribute("data-first", Boolean(this.search.value) && place === found[0]);
    }
    for (const group of this.list.querySelectorAll("p")) group.hidden = Boolean(this.search.value);
    if (this.search.value) this.live.textContent = found.length ? `${this.labels[found[0]].name}, ${plural(found.length, "label")}` : "No label";
  }

  // Keys and clicks

  /** @param {HTMLElement} target */
  #clicked(target) {
    const label = /** @type {HTMLElement | null} */ (target.closest("[data-label]"));
    if (label) this.#choose(Number(label.dataset.label));
    if (label || !target.closest("input, textarea, button, .tsnr-codebook")) this.text.focus({ preventScroll: true });
    else if (target.closest("button") && document.activeElement?.tagName === "BUTTON") this.text.focus({ preventScroll: true });
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const typing = target === this.search || target === this.note;
    const presses = target.tagName === "BUTTON" && [" ", "Enter"].includes(event.key);
    if (!presses && (typing ? this.#typed(event) : this.#act(event, event.ctrlKey || event.metaKey))) event.preventDefault();
  }

  /** A key in a box. @param {KeyboardEvent} event @returns {boolean} whether it did something */
  #typed(event) {
    const searching = event.target === this.search;
    if (event.key === "Escape") this.#closePanels();
    else if (event.key !== "Enter" || event.shiftKey) return false;
    else if (searching) this.#takeFirst();
    else {
      const note = this.note.value.trim();
      this.#closePanels();
      if (note !== this.#decision().note) this.#change({ note });
    }
    return true;
  }

  #takeFirst() {
    const found = this.#matches();
    if (!found.length || !this.search.value.trim()) return;
    this.#closePanels();
    this.#choose(found[0]);
  }

  /** A key elsewhere; a key that is held down decides nothing. @param {KeyboardEvent} event @param {boolean} command @returns {boolean} */
  #act(event, command) {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (command || (event.altKey && !event.getModifierState("AltGraph"))) {
      if (!command || key !== "z" || event.shiftKey) return false;
      this.#undo();
      return true;
    }
    const act = this.#acts()[key] ?? this.#labelled(key);
    if (act && !(event.repeat && !key.startsWith("Arrow"))) act();
    return Boolean(act);
  }

  /** @returns {Record<string, (() => void) | undefined>} */
  #acts() {
    return {
      "/": () => this.#openSearch(),
      " ": () => this.#accept(),
      "?": () => this.#toggleCodebook(),
      Enter: this.multiple ? () => this.#accept() : undefined,
      Escape: this.codebook.hidden ? undefined : () => this.#toggleCodebook(),
      ArrowLeft: () => this.#move(-1),
      ArrowRight: () => this.#move(1),
      u: () => this.#undo(),
      s: () => this.#skip(),
      n: () => this.#openNote(),
      f: () => this.#change({ flag: !this.#decision().flag }),
    };
  }

  #readSkipped() {
    this.again = true;
    const first = [...Array(this.count).keys()].find((index) => this.#pending(index));
    if (first !== undefined) this.#go(first);
  }

  /** @param {string} key */
  #labelled(key) {
    const place = (DIGITS + LETTERS).indexOf(key);
    return key.length === 1 && place >= 0 && place < this.labels.length ? () => this.#choose(place) : undefined;
  }
}

/** @param {{model: Model, el: HTMLElement}} context */
function render({ model, el }) {
  const view = new ReviewView(model, el);
  return () => view.close();
}

export default { render };
