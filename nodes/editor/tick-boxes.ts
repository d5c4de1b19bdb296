/** Gives each tick box of a tree in `root`, also those that are loaded later, the name that stands beside it. */
export function nameTickBoxes(root: JQuery): void {
  const name = () => {
    for (const box of root.find('.red-ui-treeList-checkbox:not([aria-label])').toArray()) {
      const text = $(box).closest('.red-ui-treeList-label').find('.red-ui-treeList-label-text').text();
      if (text !== '') $(box).attr('aria-label', text);
    }
  };
  new MutationObserver(name).observe(root[0]!, { childList: true, subtree: true });
}
