// Pictures follow the site's switch between light and dark; by themselves they follow the system alone.
const follow = () => {
  const dark = document.body.getAttribute("data-md-color-scheme") === "slate";
  for (const source of document.querySelectorAll('source[srcset*="-dark."]')) source.media = dark ? "all" : "not all";
};
new MutationObserver(follow).observe(document.body, { attributeFilter: ["data-md-color-scheme"] });
follow();

// An option such as --expires-in is one word: browsers would break the line at its hyphens.
for (const code of document.querySelectorAll("article :not(pre) > code")) {
  if (!code.children.length) code.innerHTML = code.innerHTML.replace(/(?<![\w-])--?[a-z][\w-]*/g, '<span class="option">$&</span>');
}
