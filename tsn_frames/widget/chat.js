// The page of tsn.Chat: renders Python's messages and sends each action to Python. It keeps no conversation of its own,
// builds no HTML from text, and loads nothing. Python numbers its messages: where one is missing, the page requests a snapshot.
// @ts-check

/** @typedef {"done" | "streaming" | "stopped" | "error"} TurnStatus */
/** @typedef {{index: number, role: string, text: string, template: string | null, blocks: string[] | null, status: TurnStatus, error: string, facts: string, thoughts?: string, seconds?: number | null}} Turn */
/** @typedef {Record<string, string | number | string[] | null>} Settings */
/** @typedef {{busy: boolean, settings: Settings, models: string[], totals: string, filled_system: string | null, about: string, example: string, count: number}} State */
/**
 * @typedef {object} Message
 * @property {"snapshot" | "earlier" | "turn" | "tail" | "cut" | "state" | "set" | "wait" | "refused" | "notice" | "code"} type
 * @property {number} seq
 * @property {string} [to] the one view that it is for; else all
 * @property {Turn[]} [turns]
 * @property {Turn} [turn]
 * @property {State} [state]
 * @property {number} [index]
 * @property {number} [keep] how many turns stay
 * @property {[number, string][]} [changed] blocks of an answer that are new or other than before
 * @property {string} [thoughts] of the model, that are new
 * @property {string} [text]
 * @property {string} [field]
 * @property {number} [n] which change of the field this is about
 * @property {number} [question] which question the code asks of all rows
 * @property {[number, string][]} [questions] those to choose from: index and text
 * @property {string[]} [warnings]
 */
/** @typedef {{element: HTMLElement, body: HTMLElement, blocks: {element: HTMLElement, html: string}[], turn: Turn, begun: number, thought?: number, thoughts?: HTMLDetailsElement, asTemplate?: boolean}} Shown */

const FIELDS = /** @type {const} */ ([
  ["temperature", "Temperature", { type: "number", min: "0", max: "2", step: "any" }],
  ["top_p", "Top p", { type: "number", min: "0", max: "1", step: "any" }],
  ["max_tokens", "Max tokens", { type: "number", min: "1", step: "1" }],
  ["frequency_penalty", "Frequency penalty", { type: "number", min: "-2", max: "2", step: "any" }],
  ["presence_penalty", "Presence penalty", { type: "number", min: "-2", max: "2", step: "any" }],
]);
const ROLES = /** @type {Record<string, string>} */ ({ user: "You", assistant: "Answer", system: "System prompt", developer: "Developer", tool: "Tool" });
const SILENCE = 1500; // milliseconds without a reply after which a notice is shown
const STEP = 160; // pixels by which the chat grows while an answer comes
const PATIENCE = 2; // seconds without a text after which they are counted
const NEAR = 32; // pixels from the end that count as the end

// The same allow-list as Python's: unsafe HTML would have to pass both.
const MATHS =
  "annotation math menclose mfrac mi mn mo mover mpadded mphantom mroot mrow mspace msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover semantics";
const MARKUP = {
  elements: [
    ..."a abbr b blockquote br code dd del dl div dt em h1 h2 h3 h4 h5 h6 hr i kbd li ol p pre s span strong sub sup table tbody td tfoot th thead tr u ul".split(
      " ",
    ),
    ...MATHS.split(" ").map((name) => ({ name, namespace: "http://www.w3.org/1998/Math/MathML" })),
  ],
  attributes: (
    "class href target rel start title align colspan rowspan data-language accent accentunder columnalign columnlines display displaystyle encoding fence " +
    "form linethickness lspace mathvariant maxsize minsize movablelimits notation rowlines rspace scriptlevel stretchy width"
  ).split(" "),
};

/** Show HTML that Python has cleaned already. @param {HTMLElement} element @param {string} html */
function setMarkup(element, html) {
  const host = /** @type {HTMLElement & {setHTML?: (html: string, options: object) => void}} */ (element);
  if (typeof host.setHTML === "function") host.setHTML(html, { sanitizer: MARKUP });
  // eslint-disable-next-line no-restricted-syntax -- older browsers: Python's allow-list stands alone
  else host.innerHTML = html;
}

/** Copy a text, where the newer way is closed (no HTTPS) by the older one. @param {string} text @param {HTMLElement} near */
async function copy(text, near) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const area = make("textarea", { class: "tsn-unseen", "aria-hidden": "true" });
    area.value = text;
    near.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    focused?.focus({ preventScroll: true });
    return done;
  }
}

/**
 * Put what is selected into the clipboard with the source of each formula, where there is one. A selection that begins or ends within a
 * formula takes all of it.
 * @param {ClipboardEvent} event @param {HTMLElement} root
 */
function copyWithSources(event, root) {
  const selection = document.getSelection();
  if (!selection?.rangeCount || !event.clipboardData) return;
  const range = selection.getRangeAt(0).cloneRange();
  /** @param {Node} node */
  const formula = (node) => (node instanceof Element ? node : node.parentElement)?.closest("math");
  const [first, last] = [formula(range.startContainer), formula(range.endContainer)];
  if (first) range.setStartBefore(first);
  if (last) range.setEndAfter(last);
  const copied = make("div", { class: "tsn-unseen" });
  copied.append(range.cloneContents());
  const formulas = copied.querySelectorAll("math");
  if (!formulas.length) return;
  const html = new XMLSerializer().serializeToString(copied);
  for (const math of formulas) {
    const mark = math.getAttribute("display") === "block" ? "$$" : "$";
    math.replaceWith(`${mark}${math.querySelector("annotation")?.textContent ?? ""}${mark}`);
  }
  root.append(copied); // only what is displayed has its lines as text
  event.clipboardData.setData("text/plain", copied.innerText);
  event.clipboardData.setData("text/html", html);
  copied.remove();
  event.preventDefault();
}

/** @typedef {{toJSON(): {outputs?: object[]}}} Cell */
/** @typedef {{cells: Cell[], insertCell(at: number, cell: object): unknown}} Notebook */

/**
 * The notebook, where the host gives it to a widget: JupyterLab and Notebook 7 do. No other way leads there from a page.
 * @param {Model & {widget_manager?: {context?: {model?: {sharedModel?: Notebook}}}}} model
 */
function notebookOf(model) {
  try {
    const shared = model.widget_manager?.context?.model?.sharedModel;
    return typeof shared?.insertCell === "function" && Array.isArray(shared.cells) ? shared : undefined;
  } catch {
    return undefined; // a host that refuses access
  }
}

/** Let a text box be as high as its text. One that isn't displayed has no height to measure. @param {HTMLTextAreaElement} area */
function fit(area) {
  area.style.height = "auto";
  if (!area.scrollHeight) return;
  area.style.height = `${area.scrollHeight + area.offsetHeight - area.clientHeight}px`;
}

/** Hide the transcript that a saved notebook shows without a kernel, while there is something better. @param {string} name */
function hiding(name) {
  return /^[\w-]+$/.test(name) ? `.${name}, .jp-OutputArea-child:has(.${name}) { display: none; }` : "";
}

/** What a reader writes for a message: in a chat about a row, the template. @param {Turn} turn */
const written = (turn) => turn.template ?? turn.text;

/** The list of a text box that names a model: all names when the box gets the focus, then those that have what is typed. */
class ModelList {
  /** @type {string[]} */
  names = [];
  active = -1;

  /** @param {string} id */
  constructor(id) {
    const aria = { role: "combobox", "aria-expanded": "false", "aria-controls": id, "aria-autocomplete": "list" };
    const input = make("input", { type: "text", class: "tsn-input", placeholder: "name of a model", autocomplete: "off", spellcheck: "false", ...aria });
    this.input = input;
    this.list = make("ul", { class: "tsn-models", id, role: "listbox", "aria-label": "Names", popover: "manual", hidden: true });
    const icon = make("span", { class: "tsn-icon", "aria-hidden": "true" }, "▾");
    this.element = make("span", { class: "tsn-combo" }, input, icon, this.list);
    input.addEventListener("focus", () => this.open());
    input.addEventListener("click", () => this.list.hidden && this.open());
    input.addEventListener("input", () => this.open(input.value));
    input.addEventListener("blur", () => this.close());
    input.addEventListener("keydown", (event) => this.#pressed(event));
    this.list.addEventListener("mousedown", (event) => event.preventDefault()); // the box keeps the focus
    this.list.addEventListener("click", (event) => this.#choose(/** @type {Element} */ (event.target).closest("li")));
  }

  /** @param {string[]} names */
  set(names) {
    if (JSON.stringify(names) === JSON.stringify(this.names)) return;
    this.names = names;
    this.list.dataset.count = String(names.length);
    if (this.input === document.activeElement) this.open();
  }

  /** @param {string} part which the names must have */
  open(part = "") {
    const names = this.names.filter((name) => name.toLowerCase().includes(part.trim().toLowerCase()));
    const options = names.map((name, i) => make("li", { role: "option", id: `${this.list.id}-${i}`, "aria-selected": String(name === this.input.value) }, name));
    this.list.replaceChildren(...options);
    this.#activate(-1);
    if (!names.length) return this.close();
    this.list.hidden = false;
    this.list.showPopover?.();
    this.input.setAttribute("aria-expanded", "true");
    this.#place();
    options[names.indexOf(this.input.value)]?.scrollIntoView({ block: "nearest" });
    addEventListener("scroll", this.moved, { capture: true });
    addEventListener("resize", this.moved);
  }

  close() {
    removeEventListener("scroll", this.moved, { capture: true });
    removeEventListener("resize", this.moved);
    this.list.hidden = true;
    if (this.list.matches(":popover-open")) this.list.hidePopover();
    this.input.setAttribute("aria-expanded", "false");
    this.#activate(-1);
  }

  /** Close when the page is scrolled or resized: the list would stay where the box was. @param {Event} event */
  moved = (event) => event.target !== this.list && this.close();

  /** Put the list below the box, or above it where there is more room. */
  #place() {
    const { left, top, bottom, width } = this.input.getBoundingClientRect();
    const below = innerHeight - bottom - 8;
    const above = below < 120 && top > below;
    const edge = above ? { top: "auto", bottom: `${innerHeight - top + 2}px` } : { top: `${bottom + 2}px`, bottom: "auto" };
    Object.assign(this.list.style, { ...edge, left: `${left}px`, minWidth: `${width}px`, maxHeight: `${Math.min(280, above ? top - 8 : below)}px` });
  }

  /** @param {number} i */
  #activate(i) {
    const options = [...this.list.children];
    this.active = i;
    options.forEach((option, j) => option.classList.toggle("tsn-active", i === j));
    options[i]?.scrollIntoView({ block: "nearest" });
    if (options[i]) this.input.setAttribute("aria-activedescendant", options[i].id);
    else this.input.removeAttribute("aria-activedescendant");
  }

  /** @param {Element | null} option */
  #choose(option) {
    if (!option) return;
    this.input.value = option.textContent ?? "";
    this.close();
    this.input.dispatchEvent(new Event("change"));
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const [shown, count] = [!this.list.hidden, this.list.children.length];
    /** @type {Record<string, () => void>} */
    const meanings = {
      ArrowDown: () => (shown ? this.#activate((this.active + 1) % count) : this.open()),
      ArrowUp: () => (shown ? this.#activate((Math.max(this.active, 0) - 1 + count) % count) : this.open()),
      ...(shown && { Escape: () => this.close() }),
      ...(shown && this.active >= 0 && { Enter: () => this.#choose(this.list.children[this.active]) }),
    };
    if (composing(event) || !meanings[event.key]) return;
    meanings[event.key]();
    event.preventDefault();
    event.stopPropagation();
  }
}

/** One view of one conversation. */
class ChatView {
  id = Math.random().toString(36).slice(2);
  seq = -1;
  /** Whether the end stays in view while an answer grows. */
  follow = true;
  top = 0;
  sent = "";
  /** @type {Shown[]} */
  shown = [];
  /** Index of the first turn that is shown; those before it come when they are asked for. */
  first = 0;
  reached = -1;
  /** @type {State} */
  state = { busy: false, settings: {}, models: [], totals: "", filled_system: null, about: "", example: "", count: 0 };
  /** @type {Record<string, HTMLInputElement | HTMLTextAreaElement>} */
  fields = {};
  /** Settings that Python has not confirmed, each with the number of its newest change; they are sent when no answer streams. @type {Map<string, number>} */
  unconfirmed = new Map();
  changes = 0;
  /** Position of the question that the code for all rows asks. @type {number | undefined} */
  asked;
  /** Whether an answer is there of which the page did not see the beginning. */
  came = false;
  /** Kind of the notice: a refusal stays until the next action, silence until the next message. @type {"" | "refusal" | "silence"} */
  noticed = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  waiting;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  ticking;

  // The parts that change; what only holds them is put together by the methods below.
  filled = make("pre", { class: "tsn-filled", dir: "auto" });
  filledSystem = make("details", { class: "tsn-wide", hidden: true }, make("summary", {}, "As it is sent"), this.filled);
  live = make("p", { class: "tsn-unseen", role: "status" });
  notice = make("p", { class: "tsn-notice", role: "alert", hidden: true });
  models = new ModelList(`${this.id}-models`);
  totals = make("p", { class: "tsn-totals" });
  about = make("span", { class: "tsn-about", hidden: true });
  apply = button("Apply to all rows", "apply", () => this.ask({ type: "code" }), { hidden: "" });
  undo = button("Undo", "undo", () => this.#undo(), { title: "Take back the last question and its answer" });
  clear = button("Clear", "clear", () => this.#confirm(true));
  sure = make(
    "span",
    { class: "tsn-sure", role: "group", "aria-label": "Clear the whole chat?", hidden: true },
    "Clear the whole chat?",
    button("Clear", "clear-yes", () => this.#cleared()),
    button("Keep", "clear-no", () => this.#confirm(false)),
  );
  folded = button("Settings", "settings", () => this.#fold(), { "aria-expanded": "false", "aria-controls": `${this.id}-settings` });
  panel = make("div", { class: "tsn-settings", id: `${this.id}-settings`, role: "group", "aria-label": "Settings", hidden: true });
  earlier = button("Show earlier messages", "earlier", () => this.#askEarlier(), { hidden: "" });
  empty = make("p", { class: "tsn-empty" });
  list = make("div", { class: "tsn-list" }, this.earlier, this.empty);
  log = make("div", { class: "tsn-log", role: "log", "aria-label": "Conversation", tabindex: "0" }, this.list);
  resume = button("Copy code that continues the chat", "resume", () => this.#copy(this.#code(), this.resume), { hidden: "", title: "After a restart of the kernel: code of a cell that makes this chat again with its messages" });
  newest = button("Newest message", "newest", () => this.#toEnd(), { hidden: "" });
  code = make("div", { class: "tsn-apply tsn-markup", role: "region", "aria-label": "Code for all rows", hidden: true });
  box = make("textarea", { class: "tsn-input tsn-box", rows: "1", dir: "auto", "aria-label": "Message", placeholder: "Message", enterkeyhint: "send" });
  send = button("Send", "send", () => this.#send());
  stop = button("Stop", "stop", () => this.ask({ type: "stop" }), { hidden: "", title: "Stop the answer (Escape)" });
  root = make("section", {
    class: "tsn-page tsn-chat",
    "aria-label": "Chat with a language model",
    "data-status": "connecting",
    "data-lm-suppress-shortcuts": "true",
  });
  resized = new ResizeObserver(() => this.#resized());
  /** The width that the text boxes were fitted to: 0 before they are displayed. */
  width = 0;

  /** @param {Model} model @param {HTMLElement} host */
  constructor(model, host) {
    this.model = model;
    this.#settings();
    const composer = make("div", { class: "tsn-composer" }, this.box, this.send, this.stop);
    const hides = make("style", {}, hiding(String(model.get("_transcript") ?? "")));
    const middle = make("div", { class: "tsn-middle" }, this.log, this.newest);
    this.root.append(hides, this.#header(), this.panel, middle, this.code, this.notice, this.resume, composer, this.totals, this.live);
    host.append(this.root);
    this.#listen();
    model.on("msg:custom", this.receive);
    this.ask({ type: "hello" });
  }

  close() {
    this.model.off("msg:custom", this.receive);
    this.resized.disconnect();
    clearTimeout(this.waiting);
    clearInterval(this.ticking);
    this.models.close();
  }

  // Construction

  #header() {
    const model = this.#field("model", this.models.input);
    model.addEventListener("focus", () => this.state.models.length || this.ask({ type: "models" }, false));
    const label = make("label", { class: "tsn-label tsn-model" }, "Model ", this.models.element);
    const acts = make("span", { class: "tsn-acts" }, this.undo, this.clear, this.sure, this.folded);
    return make("header", { class: "tsn-header" }, label, this.about, this.apply, acts);
  }

  #settings() {
    const system = this.#field("system", make("textarea", { class: "tsn-input", rows: "2", dir: "auto", placeholder: "none" }));
    system.addEventListener("input", () => fit(system));
    const numbers = FIELDS.map(([name, label, limits]) => {
      const input = make("input", { ...limits, class: "tsn-input", placeholder: "default" });
      return make("label", { class: "tsn-label" }, label, this.#field(name, input));
    });
    const stop = this.#field("stop", make("textarea", { class: "tsn-input", rows: "1", placeholder: "one per line" }));
    this.panel.append(
      make("label", { class: "tsn-label tsn-wide" }, "System prompt", system),
      this.filledSystem,
      ...numbers,
      make("label", { class: "tsn-label" }, "Stop at", stop),
    );
  }

  /**
   * @template {HTMLInputElement | HTMLTextAreaElement} E
   * @param {string} name @param {E} input @returns {E}
   */
  #field(name, input) {
    input.dataset.field = name;
    input.addEventListener("change", () => this.#set(name));
    this.fields[name] = input;
    return input;
  }

  #listen() {
    this.box.addEventListener("input", () => fit(this.box));
    this.box.addEventListener("keydown", (event) => this.#typed(event));
    handleKeys(this.root, (event) => this.#pressed(event));
    this.log.addEventListener("copy", (event) => copyWithSources(event, this.root));
    this.log.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.resized.observe(this.list);
    this.resized.observe(this.log);
  }

  // Messages from Python

  /** @param {Message} message */
  receive = (message) => {
    if (message.type === "snapshot" && (message.to ?? this.id) === this.id) this.seq = message.seq;
    else if (this.seq < 0 || message.seq <= this.seq) return;
    else if (message.seq !== this.seq + 1) return this.#lost();
    else this.seq = message.seq;
    if (message.to && message.to !== this.id) return;
    if (message.type !== "tail") clearTimeout(this.waiting);
    this.#handle(message);
    this.root.dataset.seq = String(this.seq);
  };

  /** @param {Message} message */
  #handle(message) {
    /** @type {Partial<Record<Message["type"], () => void>>} */
    const meanings = {
      snapshot: () => this.#all(message.turns ?? []),
      earlier: () => this.#prepend(message.turns ?? []),
      turn: () => message.turn && this.#turn(message.turn),
      tail: () => this.#tail(message.index ?? 0, message.changed ?? [], message.thoughts ?? ""),
      cut: () => this.#cut(message.keep ?? 0),
      set: () => this.#settled(message),
      refused: () => {
        this.#settled(message);
        this.#refused(message.text ?? "", message.field);
      },
      notice: () => this.#notify(message.text ?? "", "refusal"),
      code: () => this.#showCode(message),
    };
    meanings[message.type]?.();
    if (message.state) this.#state(message.state);
    if ((message.type === "snapshot" || message.type === "wait") && !this.state.busy) this.#setAll();
    if (message.type !== "tail") this.#dismiss("silence");
  }

  /** @param {State} state */
  #state(state) {
    const before = this.state.busy;
    this.#updateCode(state);
    this.state = state;
    this.root.dataset.status = state.busy ? "streaming" : "ready";
    for (const [name, input] of Object.entries(this.fields)) {
      const value = state.settings[name] ?? "";
      if (input !== document.activeElement && !this.unconfirmed.has(name)) input.value = Array.isArray(value) ? value.join("\n") : String(value);
    }
    this.models.set(state.models);
    this.totals.textContent = state.totals;
    this.#aboutRow(state);
    this.earlier.hidden = this.first === 0;
    this.empty.hidden = state.count > 0;
    this.undo.disabled = this.clear.disabled = state.count === 0;
    this.#swap(state.busy);
    clearInterval(this.ticking);
    if (state.busy) this.ticking = setInterval(() => this.#tick(), 250);
    this.#resized();
    if ((before || this.came) && !state.busy) this.#ended();
    this.came = false;
  }

  /** Say what the chat is about, and what its templates become. @param {State} state */
  #aboutRow({ about, example, filled_system: filled }) {
    this.filled.textContent = filled;
    this.filledSystem.hidden = !filled;
    this.about.textContent = about;
    this.about.hidden = this.apply.hidden = !about;
    const subject = about ? `Ask something about ${about}: ${example} and other columns are filled from it. ` : "Ask something. ";
    this.empty.textContent = `${subject}Enter sends, Shift+Enter starts a new line.`;
    this.box.placeholder = about ? `Message; ${example} is filled from ${about}` : "Message";
  }

  /** Request the code for all rows again where it is shown, and settings or questions are others now. @param {State} state */
  #updateCode(state) {
    const [before, now] = [this.state, state].map(({ settings, count, busy }) => JSON.stringify([settings, count, busy]));
    if (!this.code.hidden && !state.busy && before !== now) this.ask({ type: "code", question: this.asked }, false);
  }

  /** Show Stop in the place of Send, and keep the focus where a reader had it. @param {boolean} busy */
  #swap(busy) {
    if (this.send.hidden === busy) return;
    const focused = this.root.contains(document.activeElement) && [this.send, this.stop].some((it) => it === document.activeElement);
    this.send.hidden = busy;
    this.stop.hidden = !busy;
    if (focused) this.box.focus();
  }

  #ended() {
    const last = this.shown.at(-1)?.turn.status ?? "done";
    this.#dismiss("refusal");
    this.#setAll();
    const words = { done: "The answer is complete.", stopped: "The answer was stopped.", error: "There is no answer.", streaming: "" };
    this.live.textContent = words[last];
  }

  /** @param {Turn[]} turns */
  #all(turns) {
    for (const { element } of this.shown) element.remove();
    this.shown = turns.map((turn) => this.#fresh(turn));
    this.first = turns[0]?.index ?? 0;
    this.reached = -1;
    this.list.append(...this.shown.map(({ element }) => element));
    this.#toEnd();
  }

  /** @param {Turn[]} turns */
  #prepend(turns) {
    if (!turns.length || turns[turns.length - 1].index !== this.first - 1) return;
    const fromEnd = this.log.scrollHeight - this.log.scrollTop;
    const fresh = turns.map((turn) => this.#fresh(turn));
    this.earlier.after(...fresh.map(({ element }) => element));
    this.shown.unshift(...fresh);
    this.first = turns[0].index;
    this.earlier.hidden = this.first === 0;
    this.log.scrollTop = this.log.scrollHeight - fromEnd;
  }

  /** @param {Turn} turn */
  #turn(turn) {
    const place = turn.index - this.first;
    if (place > this.shown.length) return this.#lost();
    const old = this.shown[place];
    if (!old) {
      const fresh = this.#fresh(turn);
      this.shown.push(fresh);
      this.list.append(fresh.element);
      this.came = Boolean(turn.facts); // an answer that was asked for, and its end
      if (turn.role === "user") this.#arrived(written(turn));
    } else this.#fill(old, turn);
  }

  /** The question is in the conversation: drop the copy that would restore it. @param {string} text */
  #arrived(text) {
    this.#toEnd();
    if (text !== this.sent) return; // from another view, or an earlier one
    if (this.box.value === text) this.#put("");
    this.sent = "";
  }

  /** @param {number} index @param {[number, string][]} changed @param {string} thoughts */
  #tail(index, changed, thoughts) {
    const shown = this.shown[index - this.first];
    if (!shown || (changed.length && changed[0][0] > shown.blocks.length)) return this.#lost();
    if (thoughts) this.#thoughts(shown).append(thoughts);
    this.#blocks(shown, changed);
    this.#tick();
  }

  /** @param {number} keep */
  #cut(keep) {
    if (keep < this.first) return this.#lost();
    this.code.hidden = true; // its question may be gone
    for (const { element } of this.shown.splice(keep - this.first)) element.remove();
  }

  #lost() {
    this.seq = -1;
    this.ask({ type: "hello" });
  }

  /** @param {string} text @param {string} [field] */
  #refused(text, field) {
    this.#notify(text, "refusal");
    if (field && this.fields[field]) this.fields[field].setAttribute("aria-invalid", "true");
    if (field !== "text" || !this.sent) return;
    if (this.box.value !== this.sent) this.#put([this.sent, this.box.value].filter(Boolean).join("\n"));
    this.sent = "";
  }

  /** Python has confirmed or refused a setting; one that was changed again since then gets its own reply. @param {Message} message */
  #settled({ field = "", n }) {
    if (this.unconfirmed.get(field) === n) this.unconfirmed.delete(field);
  }

  // Rendering

  /** @param {Turn} turn @returns {Shown} */
  #fresh(turn) {
    const body = make("div", { class: "tsn-body tsn-markup", dir: turn.blocks ? undefined : "auto" });
    const element = make("article", { class: `tsn-turn tsn-${turn.role}` }, body);
    if (turn.role !== "user" && turn.role !== "assistant") body.before(make("p", { class: "tsn-role" }, ROLES[turn.role] ?? turn.role));
    /** @type {Shown} */
    const shown = { element, body, blocks: [], turn, begun: 0 };
    this.#fill(shown, turn);
    return shown;
  }

  /** @param {Shown} shown @param {Turn} turn */
  #fill(shown, turn) {
    const { element } = shown;
    shown.turn = turn;
    element.dataset.index = String(turn.index);
    element.dataset.role = turn.role;
    element.dataset.status = turn.status;
    element.setAttribute("aria-busy", String(turn.status === "streaming"));
    element.setAttribute("aria-label", ROLES[turn.role] ?? turn.role);
    if (turn.blocks) {
      for (const { element: gone } of shown.blocks.splice(turn.blocks.length)) gone.remove();
      this.#blocks(shown, [...turn.blocks.entries()]);
    } else this.#text(shown);
    for (const name of ["clock", "error", "foot"]) element.querySelector(`.tsn-${name}`)?.remove();
    this.#thought(shown);
    if (turn.error) element.append(make("p", { class: "tsn-error", role: "alert" }, turn.error));
    if (turn.status !== "streaming") element.append(this.#foot(turn, shown));
  }

  /** Show a model's thoughts, and the clock while it writes none of its answer. @param {Shown} shown */
  #thought(shown) {
    const { turn, element } = shown;
    if (turn.thoughts) this.#thoughts(shown).textContent = turn.thoughts;
    if (turn.status === "streaming") {
      shown.begun = performance.now() - 1000 * (turn.seconds ?? 0);
      element.append(make("p", { class: "tsn-clock", "aria-live": "off" }, "…"));
    } else if (typeof turn.seconds === "number") shown.thought = Math.round(turn.seconds);
    this.#clock(shown);
  }

  /** The place of a model's thoughts: folded, above its answer. @param {Shown} shown */
  #thoughts(shown) {
    if (!shown.thoughts) {
      shown.thoughts = make("details", { class: "tsn-thoughts", "aria-live": "off" }, make("summary", {}), make("div", { dir: "auto" }));
      shown.body.before(shown.thoughts);
    }
    return /** @type {HTMLElement} */ (shown.thoughts.lastElementChild);
  }

  /** Say how long a model has been thinking, or thought. @param {Shown} shown */
  #clock(shown) {
    const thinking = shown.turn.status === "streaming" && !shown.body.textContent;
    const seconds = Math.floor((performance.now() - shown.begun) / 1000);
    if (thinking) shown.thought = seconds;
    const thought = shown.thought ? `Thought for ${shown.thought} s` : "Thoughts";
    if (shown.thoughts) /** @type {Element} */ (shown.thoughts.firstElementChild).textContent = thinking ? `Thinking ${seconds} s` : thought;
    const clock = shown.element.querySelector(".tsn-clock");
    if (clock) clock.textContent = seconds < PATIENCE ? "…" : `waiting ${seconds} s`;
    clock?.toggleAttribute("hidden", !thinking || Boolean(shown.thoughts));
  }

  #tick() {
    const last = this.shown.at(-1);
    if (last) this.#clock(last);
  }

  /** Show a message that is plain text: as it was sent, or as the template. @param {Shown} shown */
  #text({ body, turn, asTemplate }) {
    const text = asTemplate ? written(turn) : turn.text;
    if (body.textContent !== text) body.textContent = text;
  }

  /** A button that switches between the filled text and the template. @param {Shown} shown */
  #switch(shown) {
    const label = () => (shown.asTemplate ? "Show filled" : "Show template");
    const made = button(label(), "template", () => {
      shown.asTemplate = !shown.asTemplate;
      made.textContent = label();
      this.#text(shown);
    });
    return made;
  }

  /** @param {Shown} shown @param {[number, string][]} changed */
  #blocks(shown, changed) {
    for (const [place, html] of changed) {
      const old = shown.blocks[place];
      if (old?.html === html) continue;
      const element = old?.element ?? make("div", { class: "tsn-block" });
      setMarkup(element, html);
      for (const part of element.children) part.setAttribute("dir", part.tagName === "PRE" ? "ltr" : "auto");
      for (const pre of element.querySelectorAll("pre")) this.#dress(pre);
      for (const table of element.querySelectorAll("table")) this.#frame(table);
      if (!old) shown.body.append(element);
      shown.blocks[place] = { element, html };
    }
  }

  /** Give a code block its language and a button that copies it. @param {HTMLElement} pre */
  #dress(pre) {
    const named = /language-([\w+#.-]+)/.exec(pre.firstElementChild?.className ?? "");
    const language = pre.dataset.language ?? named?.[1] ?? "";
    const copies = button("Copy", "copy-code", () => this.#copy(pre.textContent ?? "", copies), { "aria-label": "Copy code" });
    const inserts = button("Insert", "insert-code", () => this.#insert(pre.textContent ?? "", inserts), { "aria-label": "Insert code into a cell below" });
    inserts.hidden = !notebookOf(this.model);
    const frame = make("div", { class: "tsn-code" }, make("div", { class: "tsn-bar" }, make("span", {}, language), inserts, copies));
    pre.tabIndex = 0;
    pre.replaceWith(frame);
    frame.append(pre);
  }

  /** Put code into a new cell below the one that shows this chat. @param {string} source @param {HTMLButtonElement} said */
  #insert(source, said) {
    const notebook = notebookOf(this.model);
    if (!notebook) return void this.#copy(source, said);
    const name = String(this.model.get("_transcript"));
    const at = notebook.cells.findIndex((cell) => JSON.stringify(cell.toJSON().outputs ?? []).includes(name));
    const text = source.replace(/\n$/, "");
    notebook.insertCell(at < 0 ? notebook.cells.length : at + 1, { cell_type: "code", source: text, metadata: {}, outputs: [], execution_count: null });
    this.#flash(said, "Inserted");
  }

  /** Give a table a frame that scrolls, also by keyboard, where the table is wider. @param {HTMLTableElement} table */
  #frame(table) {
    const frame = make("div", { class: "tsn-table", role: "group", "aria-label": "Table", tabindex: "0" });
    table.replaceWith(frame);
    frame.append(table);
  }

  /** @param {Turn} turn @param {Shown} shown */
  #foot(turn, shown) {
    const copies = button("Copy", "copy", () => this.#copy(shown.asTemplate ? written(turn) : turn.text, copies), { "aria-label": "Copy message" });
    const foot = make("footer", { class: "tsn-foot" }, make("span", { class: "tsn-facts", title: "Model, tokens of the prompt + of the answer, cost, time" }, turn.facts));
    if (turn.text) foot.append(copies);
    if (written(turn) !== turn.text) foot.append(this.#switch(shown));
    if (turn.role === "user") foot.append(button("Edit", "edit", () => this.#edit(shown), { "aria-label": "Edit message" }));
    // Shown at the last message only: its answer again, or, where it has none yet, its first.
    const word = turn.role === "user" ? "Ask" : turn.status === "error" ? "Retry" : "Regenerate";
    foot.append(button(word, "regenerate", () => this.ask({ type: "regenerate" })));
    return foot;
  }

  // Actions of the user

  /** Send an action to Python; show a notice where no reply comes. @param {object} message @param {boolean} patient */
  ask(message, patient = true) {
    if (patient) {
      this.#dismiss("refusal");
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => this.#silent(), SILENCE);
    }
    try {
      this.model.send({ ...message, view: this.id });
    } catch {
      this.waiting ??= setTimeout(() => this.#silent(), 0); // a restarted kernel doesn't have this chat
    }
  }

  /** The kernel is busy, or gone. A saved notebook has the conversation in its state: show that, as plain text. */
  #silent() {
    if (this.sent && !this.box.value) this.#put(this.sent); // removed again if it arrives after all
    if (this.seq >= 0) {
      const text = "The kernel doesn't answer: it is busy or was restarted. A busy kernel handles this later. After a restart, run the cell again to start over, or copy code that continues this chat.";
      return this.#notify(text, "silence");
    }
    const saved = this.#saved();
    this.root.dataset.status = "offline";
    this.empty.hidden = saved.length > 0;
    this.#all(saved.map(({ role, content }, index) => ({ index, role, text: String(content ?? ""), blocks: null, template: null, status: "done", error: "", facts: "" })));
    this.#notify("The kernel doesn't answer: it is busy, or this chat belongs to an earlier one. These are the saved messages. Run the cell again to start over, or copy code that continues this chat.", "silence");
  }

  /** @param {string} text @param {"refusal" | "silence"} about */
  #notify(text, about) {
    this.notice.textContent = text;
    this.notice.hidden = false;
    this.noticed = about;
    this.resume.hidden = about !== "silence" || !this.#saved().length;
  }

  /** What the widget's state has of the conversation, also where its kernel is gone. @returns {{role: string, content: string}[]} */
  #saved() {
    return this.model.get("_messages") ?? [];
  }

  /** The code of a chat with these messages; a text in JSON is one in Python, too. */
  #code() {
    const said = this.#saved().filter(({ role, content }) => ["system", "user", "assistant"].includes(role) && content);
    const messages = said.map(({ role, content }) => `    {"role": ${JSON.stringify(role)}, "content": ${JSON.stringify(content)}},\n`);
    return `import tsn_frames as tsn\n\nchat = tsn.Chat(messages=[\n${messages.join("")}])\nchat`;
  }

  /** @param {"refusal" | "silence"} about */
  #dismiss(about) {
    if (this.noticed !== about) return;
    this.notice.textContent = this.noticed = "";
    this.notice.hidden = this.resume.hidden = true;
    for (const input of Object.values(this.fields)) input.removeAttribute("aria-invalid");
  }

  #send() {
    const text = this.box.value;
    if (!text.trim() || this.state.busy) return;
    this.sent = text;
    this.#put("");
    this.follow = true;
    this.ask({ type: "send", text });
    this.box.focus();
  }

  /** @param {string} text */
  #put(text) {
    this.box.value = text;
    fit(this.box);
  }

  #undo() {
    const asked = this.shown.findLast(({ turn }) => turn.role === "user");
    if (asked && !this.box.value) this.#put(written(asked.turn));
    this.ask({ type: "undo" });
    this.box.focus();
  }

  /** @param {boolean} asked */
  #confirm(asked) {
    this.sure.hidden = !asked;
    this.clear.hidden = this.undo.hidden = asked;
    if (asked) this.sure.querySelector("button")?.focus();
    else this.clear.focus();
  }

  #cleared() {
    this.#confirm(false);
    this.ask({ type: "clear" });
    this.box.focus();
  }

  #fold() {
    this.panel.hidden = !this.panel.hidden;
    this.folded.setAttribute("aria-expanded", String(!this.panel.hidden));
    if (this.panel.hidden) return;
    fit(/** @type {HTMLTextAreaElement} */ (this.fields.system));
    this.fields.system.focus();
  }

  /** @param {string} name */
  #set(name) {
    this.unconfirmed.set(name, ++this.changes);
    if (this.state.busy) return;
    const input = this.fields[name];
    const text = input.value;
    const invalid = input instanceof HTMLInputElement && !input.validity.valid && !input.validity.rangeOverflow && !input.validity.rangeUnderflow;
    if (invalid) {
      this.unconfirmed.delete(name);
      return this.#refused(input.validationMessage, name);
    }
    /** @type {string | number | string[] | null} */
    let value = text.trim() ? text : null;
    if (value !== null && input.type === "number") value = Number(text);
    if (value !== null && name === "stop") value = text.split("\n").filter(Boolean);
    this.ask({ type: "set", name, value, n: this.changes });
  }

  #setAll() {
    for (const name of [...this.unconfirmed.keys()]) this.#set(name);
  }

  /** @param {Shown} shown */
  #edit(shown) {
    if (shown.element.querySelector(".tsn-editor")) return;
    const area = make("textarea", { class: "tsn-input", dir: "auto", "aria-label": "Edit message" });
    area.value = written(shown.turn);
    const editor = make("div", { class: "tsn-editor" });
    const close = () => {
      editor.remove();
      shown.element.classList.remove("tsn-editing");
    };
    const save = () => {
      const text = area.value;
      if (!text.trim() || this.state.busy) return;
      close();
      this.sent = text;
      this.follow = true;
      this.ask({ type: "edit", index: shown.turn.index, text });
      this.box.focus();
    };
    const cancel = () => {
      close();
      this.box.focus();
    };
    const hint = make("span", { class: "tsn-facts" }, "In place of this message and of all that follows it.");
    editor.append(area, hint, button("Send", "edit-send", save), button("Cancel", "edit-cancel", cancel));
    area.addEventListener("input", () => fit(area));
    area.addEventListener("keydown", (event) => {
      if (composing(event)) return;
      if (event.key === "Escape") cancel();
      else if (event.key === "Enter" && !event.shiftKey) save();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    shown.element.append(editor);
    shown.element.classList.add("tsn-editing");
    fit(area);
    area.focus();
  }

  /** @param {string} text @param {HTMLButtonElement} from */
  async #copy(text, from) {
    if (await copy(text, this.root)) this.#flash(from, "Copied");
    else this.#flash(from, "Not copied", "Not copied: select the text and copy it by hand");
  }

  /** Show on a button, and announce to screen readers, what it has done. @param {HTMLElement} from @param {string} done @param {string} said */
  #flash(from, done, said = done) {
    this.live.textContent = `${said}.`;
    const before = from.textContent;
    if (before === done) return;
    from.textContent = done;
    setTimeout(() => (from.textContent = before), 1500);
  }

  /** @param {Message} message */
  #showCode({ text = "", question, questions = [], warnings = [] }) {
    const block = make("div", { class: "tsn-block" });
    setMarkup(block, text);
    for (const pre of block.querySelectorAll("pre")) this.#dress(pre);
    const close = button("Close", "apply-close", () => {
      this.code.hidden = true;
      this.apply.focus();
    });
    const choice = make("select", { class: "tsn-input", "data-act": "question" });
    for (const [index, template] of questions) choice.append(new Option(template, String(index), false, index === question));
    choice.addEventListener("change", () => this.ask({ type: "code", question: Number(choice.value) }));
    const asked = make("label", { class: "tsn-label", hidden: questions.length < 2 }, "Question for every row", choice);
    const notes = warnings.map((warning) => make("p", { class: "tsn-warning" }, warning));
    const [fresh, chosen] = [this.code.hidden, this.code.querySelector("select") === document.activeElement];
    this.code.replaceChildren(make("p", {}, "Run this in a cell. It asks about every row."), asked, ...notes, block, close);
    this.code.hidden = false;
    this.asked = question;
    if (chosen) choice.focus();
    else if (fresh) /** @type {HTMLElement | null} */ (this.code.querySelector("button"))?.focus();
  }

  /** @param {KeyboardEvent} event */
  #typed(event) {
    if (composing(event)) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.#send();
    } else if (event.key === "ArrowUp" && !this.box.value) {
      const last = this.shown.findLast(({ turn }) => turn.role === "user");
      if (!last || this.state.busy) return;
      event.preventDefault();
      this.#edit(last);
    }
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.key !== "Escape") return;
    if (this.state.busy) this.ask({ type: "stop" });
    else if (!this.sure.hidden) this.#confirm(false);
    else if (!this.panel.hidden && this.panel.contains(document.activeElement)) {
      this.#fold();
      this.folded.focus();
    }
  }

  // Scrolling

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.log;
    const atEnd = scrollHeight - scrollTop - clientHeight < NEAR;
    this.follow = atEnd || (this.follow && scrollTop >= this.top - 1);
    if (scrollTop < NEAR && scrollTop < this.top && !this.follow) this.#askEarlier();
    this.top = scrollTop;
    this.newest.hidden = this.follow;
    this.root.dataset.follow = String(this.follow);
  }

  /** While an answer grows, the chat grows in steps, so that Stop stays under the pointer. */
  #resized() {
    const width = this.root.clientWidth;
    if (width !== this.width) for (const area of this.root.querySelectorAll("textarea")) fit(area);
    this.width = width;
    const step = Math.ceil(this.list.offsetHeight / STEP) * STEP;
    this.log.style.minHeight = this.state.busy ? `min(${step}px, var(--tsn-most))` : "";
    if (this.follow) this.#toEnd();
  }

  #toEnd() {
    this.follow = true;
    this.log.scrollTop = this.log.scrollHeight;
    this.top = this.log.scrollTop;
    this.newest.hidden = true;
  }

  #askEarlier() {
    if (this.first === 0 || this.reached === this.first) return; // asked for already
    this.reached = this.first;
    this.ask({ type: "earlier", before: this.first });
  }
}

/** @param {{model: Model, el: HTMLElement}} context */
function render({ model, el }) {
  const view = new ChatView(model, el);
  return () => view.close();
}

export default { render };
