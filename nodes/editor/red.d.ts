/** The parts of Node-RED's editor that this package uses. Node-RED has no types for them. */

interface EditorNode {
  id: string;
  type: string;
  name?: string;
  z?: string;
  d?: boolean;
  changed?: boolean;
  credentials?: Record<string, unknown>;
  [property: string]: unknown;
}

interface MenuOption {
  value: string;
  label: string;
}

declare const RED: {
  _(key: string, values?: Record<string, unknown>): string;
  actions: { add(name: string, action: () => void): void; invoke(name: string): void };
  comms: { subscribe(topic: string, callback: (topic: string, payload: unknown) => void): void };
  events: {
    on(event: string, listener: (...values: never[]) => void): void;
    off(event: string, listener: (...values: never[]) => void): void;
  };
  nodes: {
    node(id: string): EditorNode | null | undefined;
    filterNodes(filter: { type: string }): EditorNode[];
    workspace(id: string): { label?: string } | undefined;
    dirty(value?: boolean): boolean;
    import(nodes: object[], options: { generateIds: boolean; addFlow: boolean }): { nodes: EditorNode[] };
  };
  editor: {
    editConfig(name: string, type: string, id: string, prefix?: string): void;
    validateNode(node: EditorNode): boolean;
  };
  history: { push(event: object): void };
  notify(text: string, options: { type: 'error' | 'warning' | 'success'; timeout?: number }): void;
  popover: {
    menu(options: {
      options: MenuOption[];
      onselect: (option: MenuOption) => void;
      width?: number;
      maxHeight?: number;
    }): {
      show(options: { target: JQuery }): void;
    };
    tooltip(target: JQuery, text: string): void;
  };
  settings: { cloudSync?: unknown };
  sidebar: {
    addTab(options: {
      id: string;
      name: string;
      label: string;
      iconClass: string;
      content: JQuery;
      enableOnEdit: boolean;
      action?: string;
      onchange?: () => void;
    }): void;
    show(id: string): void;
  };
  utils: { validateTypedProperty(value: unknown, type: string, options: object): true | string };
  user: { hasPermission?(permission: string): boolean };
  tray: {
    show(options: {
      title: string;
      width?: number;
      buttons: Array<{ id: string; text: string; class?: string; click(): void }>;
      open(tray: JQuery): void;
    }): void;
    close(): void;
  };
  view: { reveal(id: string): void; redraw(force?: boolean): void };
};

interface TreeItem {
  label: string;
  sublabel?: string;
  icon?: string;
  path: string;
  children?: TreeItem[] | ((done: (items: TreeItem[]) => void) => void);
  expanded?: boolean;
  selected?: boolean;
  checkbox?: boolean;
  /** Set by the tree. */
  parent?: TreeItem;
  /** Set by the tree. */
  treeList?: { addChild(item: TreeItem): void; remove(): void };
}

interface JQuery {
  editableList(method: 'addItem' | 'addItems', value: unknown): void;
  editableList(method: 'removeItem', value: object): void;
  editableList(method: 'items'): JQuery;
  editableList(method: 'empty'): void;
  editableList<T>(options: {
    addItem(row: JQuery, index: number, value: T): void;
    removable?: boolean;
    sortable?: boolean;
    height?: number | 'auto';
    addButton?: string | boolean;
    removeItem?(value: T): void;
    sortItems?(): void;
  }): JQuery;
  typedInput(options: { types: unknown[]; default: string }): JQuery;
  typedInput(method: 'value' | 'type'): string;
  typedInput(method: 'value' | 'type', value: string): void;
  treeList(options: {
    data: TreeItem[];
    multi?: boolean;
    selectable?: boolean;
    autoSelect?: boolean;
    ariaLabel?: string;
  }): JQuery;
  searchBox(options: { minimumLength: number; delay: number; change(): void }): JQuery;
}

interface Window {
  CloudSync?: unknown;
}
