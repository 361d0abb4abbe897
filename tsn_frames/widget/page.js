// What the pages of chat and review share. In the widget it stands before the page's own script, in the same module.
// @ts-check
/* exported make, button, composing, handleKeys */

/** @typedef {{get(name: string): any, send(content: object): void, on(name: string, then: Function): void, off(name: string, then: Function): void}} Model */

/**
 * Make an element: attributes, and children as nodes or as text.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag @param {Record<string, string | boolean | undefined>} attributes @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** @param {string} label @param {string} name @param {() => void} act @param {Record<string, string | boolean>} more */
function button(label, name, act, more = {}) {
  const made = make("button", { type: "button", class: `tsn-button tsn-do-${name}`, "data-act": name, ...more }, label);
  made.addEventListener("click", act);
  return made;
}

/** Whether a key press belongs to an input method that composes a word. @param {KeyboardEvent} event */
const composing = (event) => event.isComposing || event.keyCode === 229;

/**
 * Handle the keys that are pressed within an element. The host's keys must not act on the notebook from in there, but saving may.
 * @param {HTMLElement} root @param {(event: KeyboardEvent) => void} pressed
 */
function handleKeys(root, pressed) {
  // Notebook 7 handles a key before this page does, and looks at the focused element first, so that is marked, too.
  /** @param {Event} event @param {boolean} on */
  const suppress = (event, on) => {
    for (const one of [root, /** @type {Element} */ (event.target)]) one.toggleAttribute("data-lm-suppress-shortcuts", on);
  };
  root.addEventListener("keydown", (event) => {
    const saves = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s";
    suppress(event, !saves);
    if (saves) return;
    event.stopPropagation();
    if (!composing(event)) pressed(event);
  });
  root.addEventListener("keyup", (event) => {
    event.stopPropagation();
    suppress(event, true);
  });
  root.addEventListener("focusin", (event) => suppress(event, true));
  root.addEventListener("keypress", (event) => event.stopPropagation());
}
