import { defineConfig } from 'vite';

const gateway = process.env['TAPELINE_URL'] ?? 'http://localhost:5000';

export default defineConfig({
  // Relative addresses: the page also works below a path of a reverse proxy.
  base: './',
  build: { target: 'es2022', sourcemap: true, chunkSizeWarningLimit: 400 },
  server: {
    port: 5173,
    proxy: {
      '/socket.io': { target: gateway, ws: true },
      '/api': gateway,
      '/health': gateway,
      '/metrics': gateway,
    },
  },
});
