/** Notifications of the browser, for whoever allowed them. */

/** Asks for permission where nobody has answered yet; to be called on a click. */
export function askToNotify(): void {
  if ('Notification' in window && Notification.permission === 'default') void Notification.requestPermission();
}

/** Shows `text` outside of the page, where that is allowed. */
export function notify(text: string): void {
  if (!('Notification' in window) || Notification.permission !== 'granted') return;
  try {
    new Notification('Tapeline', { body: text, icon: './icon.svg' });
  } catch {
    // Some browsers allow them to service workers only; the page itself has said it.
  }
}
