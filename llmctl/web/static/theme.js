// Before anything is painted: the theme that was chosen, else the system's.
(() => {
  const known = ["light", "dark"];
  let chosen = null;
  try { chosen = localStorage.getItem("llmctl-theme"); } catch { /* private windows may refuse */ }
  if (known.includes(chosen)) document.documentElement.dataset.theme = chosen;
})();
