/** The badge, and behind it the facts that it was derived from. */
import type { App } from '../app';
import { duration } from '../core/format';
import { h, setAttribute, setText } from './dom';

const LOOK_MS = 250;

export function badgeView(app: App): HTMLElement {
  const label = h('span');
  const reason = h('p', { id: 'badge-reason' });
  const facts = h('dl', { class: 'facts' });
  const popover = h('div', { class: 'popover', id: 'badge-facts', role: 'region', 'aria-label': 'State of the data', hidden: true }, reason, facts);
  const button = h(
    'button',
    { class: 'badge', type: 'button', 'aria-expanded': 'false', 'aria-controls': 'badge-facts', onclick: () => show(popover.hidden === true) },
    label,
  );
  // Read out when the state changes, which is what a person who cannot see the colour needs to know.
  const spoken = h('div', { class: 'unseen', role: 'status' });
  const box = h('div', { class: 'badge-box' }, button, popover, spoken);

  const show = (open: boolean) => {
    popover.hidden = !open;
    setAttribute(button, 'aria-expanded', String(open));
    if (open) look();
  };
  box.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || popover.hidden) return;
    show(false);
    button.focus();
  });
  document.addEventListener('pointerdown', (event) => {
    if (!popover.hidden && event.target instanceof Node && !box.contains(event.target)) show(false);
  });

  const look = () => {
    const now = Date.now();
    const badge = app.badge(now);
    setText(label, badge.label);
    setAttribute(button, 'data-state', badge.state);
    setAttribute(button, 'data-kind', app.heartbeat?.data ?? null);
    setAttribute(button, 'title', badge.reason);
    setAttribute(button, 'aria-label', `Data: ${badge.label}. Details`);
    setText(spoken, `Data: ${badge.label}`);
    if (popover.hidden) return;
    setText(reason, badge.reason);
    facts.replaceChildren(...factList(app, now).flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]));
  };
  setInterval(look, LOOK_MS);
  look();
  return box;
}

function factList(app: App, now: number): [string, string][] {
  const { heartbeat, heartbeatAt } = app;
  const delay = app.delay(now);
  if (heartbeat === null || heartbeatAt === null) return [['Heartbeat', 'none yet']];
  return [
    ['Heartbeat', `${duration(now - heartbeatAt)} ago`],
    ['Data', heartbeat.data],
    ['Market', heartbeat.market],
    ['Last record at the gateway', heartbeat.feedAgeMs === null ? 'never' : `${duration(heartbeat.feedAgeMs + now - heartbeatAt)} ago`],
    ['Trade to this page', delay === null ? 'no recent trade' : duration(Math.max(0, delay))],
    ['Pipeline', heartbeat.pipeline],
    ['Redis', heartbeat.redis],
  ];
}
