// What a linter can check of the pages: text stays text, nothing is loaded, nothing is evaluated.
const restricted = [
  ["Identifier[name=/^(eval|fetch|XMLHttpRequest|WebSocket|EventSource|localStorage|sessionStorage|alert|confirm|prompt)$/]", "a page exchanges messages with Python only"],
  ["ImportExpression, ImportDeclaration", "a page is one module and loads nothing"],
  ["MemberExpression[property.name=/^(innerHTML|outerHTML|insertAdjacentHTML|srcdoc|write|setHTMLUnsafe)$/]", "only setMarkup sets HTML"],
  ["NewExpression[callee.name='Function']", "nothing is evaluated"],
];

export default [
  {
    files: ["**/*.js"],
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "no-restricted-syntax": ["error", ...restricted.map(([selector, message]) => ({ selector, message }))],
      "array-callback-return": "error", "consistent-this": "error", "curly": ["error", "multi-line"], "default-case-last": "error",
      "eqeqeq": "error", "for-direction": "error", "getter-return": "error", "no-async-promise-executor": "error",
      "no-cond-assign": "error", "no-console": "error", "no-constant-condition": "error", "no-debugger": "error",
      "no-dupe-args": "error", "no-dupe-class-members": "error", "no-dupe-else-if": "error", "no-dupe-keys": "error",
      "no-duplicate-case": "error", "no-empty": "error", "no-eval": "error", "no-fallthrough": "error", "no-func-assign": "error",
      "no-implied-eval": "error", "no-invalid-regexp": "error", "no-loop-func": "error", "no-new-func": "error",
      "no-param-reassign": "error", "no-promise-executor-return": "error", "no-script-url": "error", "no-self-assign": "error",
      "no-shadow": "error", "no-sparse-arrays": "error", "no-unreachable": "error", "no-unsafe-finally": "error",
      "no-unused-private-class-members": "error", "no-unused-vars": "error", "no-use-before-define": ["error", { functions: false }],
      "no-useless-return": "error", "no-var": "error", "object-shorthand": "error", "prefer-const": "error", "require-await": "error",
      "complexity": ["error", 12], "max-depth": ["error", 3], "max-lines-per-function": ["error", 45], "max-params": ["error", 4],
    },
  },
  { files: ["**/page.js"], languageOptions: { sourceType: "script" } },
];
