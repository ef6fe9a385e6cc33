declare module '*.py' {
  const text: string;
  // biome-ignore lint/style/noDefaultExport: the bundler's text loader exports so
  export default text;
}
