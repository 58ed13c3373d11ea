// What Gradio's markup lacks for screen readers, put right as it appears.
(() => {
  const named = [
    ["#mien-picture input[type=file]", "Picture file"],
    ["#mien-film input[type=file]", "Film file"],
    ["#mien-film video", "The film to be analysed"],
    ["#mien-film-annotated video", "The film with a box and a label at each face; the summary follows as a table"],
    ["#mien-emotions fieldset, fieldset#mien-emotions", "Emotions"],
    ["#mien-model fieldset, fieldset#mien-model", "Model"],
    [":is(#mien-film, #mien-film-annotated) progress", "Position in the film"],
    ["[aria-label=play-pause-replay-button]", "Play or pause"],
    ["[aria-label=full-screen]", "Full screen"],
    ["#mien-picture button.upload-container", "Drop a picture here, or choose one"],
    ["#mien-film button.upload-container", "Drop a film here, or choose one"],
  ];
  const mend = () => {
    for (const [selector, name] of named)
      for (const found of document.querySelectorAll(selector))
        if (found.getAttribute("aria-label") !== name) found.setAttribute("aria-label", name);
    // of one group, so that the arrow keys go from one to the next
    for (const radio of document.querySelectorAll("#mien-choices input[type=radio]")) {
      const group = radio.closest("[id]").id;
      if (radio.name !== group) radio.name = group;
    }
    document.querySelectorAll("#mien-examples button").forEach((button, i) => {
      if (!button.hasAttribute("aria-label")) button.setAttribute("aria-label", "Example: " + ["one face", "three faces"][i]);
    });
    for (const live of document.querySelectorAll(".mien-live"))
      if (!live.hasAttribute("aria-live")) {
        live.setAttribute("aria-live", "polite");
        live.setAttribute("role", "status");
      }
  };
  window.mienShow = (id) => {
    const element = document.getElementById(id), box = element?.getBoundingClientRect();
    if (box && (box.top < 0 || box.top > innerHeight * 0.7)) element.scrollIntoView({ block: "start" });
  };
  let due = false;
  const later = () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => { due = false; mend(); });
  };
  const watch = () => {
    new MutationObserver(later).observe(document.body, { childList: true, subtree: true, attributeFilter: ["name"] });
    mend();
  };
  if (document.body) watch();
  else document.addEventListener("DOMContentLoaded", watch);
})();
